#!/bin/sh
# The first process of the busybox guest. Each line it says begins with
# LIVEMIG and ends with " .", so that a cut line can be told from a whole one.
# busybox.py tells what the lines mean; images.py writes and reads the same
# places of the disks.

MARK_SECTOR=2048        # at 1 MiB: the marker
PULSE_SECTOR=4096       # at 2 MiB: the pulse
WRITE_BLOCK=1024        # from 4 MiB on, in 4 KiB blocks: continuous writing
CHUNK_BLOCKS=256        # what is written repeats after 1 MiB

say() {
    echo "LIVEMIG $* ."
}

option() {              # option NAME: its value on the kernel command line
    for word in $command_line; do
        case $word in
            "livemig.$1="*) echo "${word#*=}" ;;
        esac
    done
}

to_hex() {
    if [ -n "$1" ]; then printf %s "$1" | xxd -p -c 256; else echo none; fi
}

read_text() {           # read_text DISK SECTOR: the text after "LIVEMIG:"
    dd if="/dev/$1" bs=512 skip="$2" count=1 iflag=direct 2>/dev/null |
        tr -d '\000' | sed -n '1s/^LIVEMIG://p'
}

write_text() {          # write_text DISK SECTOR TEXT
    printf 'LIVEMIG:%s\n' "$3" |
        dd of="/dev/$1" bs=512 seek="$2" count=1 conv=notrunc,sync,fsync \
            2>/dev/null
}

find_disks() {
    disks=
    sizes=
    for path in /sys/block/vd*; do
        [ -e "$path" ] || continue
        read -r sectors <"$path/size"
        disks="$disks ${path##*/}"
        sizes="$sizes,${path##*/}:$((sectors / 2048))M"
    done
    sizes=${sizes#,}
}

mark_disks() {
    wanted=$(option mark)
    for disk in $disks; do
        found=$(read_text "$disk" $MARK_SECTOR)
        wrote=
        if [ "$disk" = vda ] && [ -n "$wanted" ]; then
            write_text vda $MARK_SECTOR "$wanted" && wrote=$wanted
        fi
        say "MARK $disk read=$(to_hex "$found") wrote=$(to_hex "$wrote")"
    done
}

# The pulse: is what was written last still there? Then write the next.
pulse() {
    pulses=$((pulses + 1))
    for disk in $disks; do
        found=$(read_text "$disk" $PULSE_SECTOR)
        if [ -n "$last_pulse" ] && [ "$found" != "$last_pulse" ]; then
            bad=$((bad + 1))
            say "BAD id=$id disk=$disk n=$n want=$(to_hex "$last_pulse")" \
                "got=$(to_hex "$found")"
        fi
        write_text "$disk" $PULSE_SECTOR "$id-$pulses" || bad=$((bad + 1))
    done
    last_pulse=$id-$pulses
}

begin_writing() {
    kib_s=$(option write)
    [ -n "$kib_s" ] && [ -b /dev/vda ] || { kib_s=0; return; }
    dd if=/dev/urandom of=/chunk bs=4096 count=$CHUNK_BLOCKS 2>/dev/null
    read -r sectors </sys/block/vda/size
    end_block=$((sectors / 8))
    block=$WRITE_BLOCK
    piece_blocks=0
    write_since=$1
}

# The piece written last is read back before the next one is written.
keep_writing() {        # keep_writing UPTIME_CS
    blocks=$((kib_s * ($1 - write_since) / 400))
    [ $blocks -gt 0 ] || return
    write_since=$1
    if [ $piece_blocks -gt 0 ] &&
        ! dd if=/dev/vda bs=4096 skip=$piece_at count=$piece_blocks \
            iflag=direct 2>/dev/null | cmp -s - /piece
    then
        bad=$((bad + 1))
        say "BAD id=$id disk=vda n=$n block=$piece_at count=$piece_blocks"
    fi
    [ $block -lt $end_block ] || block=$WRITE_BLOCK
    from=$((block % CHUNK_BLOCKS))
    room=$((CHUNK_BLOCKS - from))
    [ $blocks -le $room ] || blocks=$room
    [ $blocks -le $((end_block - block)) ] || blocks=$((end_block - block))
    dd if=/chunk of=/piece bs=4096 skip=$from count=$blocks 2>/dev/null
    dd if=/piece of=/dev/vda bs=4096 seek=$block conv=notrunc,fsync \
        2>/dev/null || bad=$((bad + 1))
    piece_at=$block
    piece_blocks=$blocks
    block=$((block + blocks))
    wrote_kib=$((wrote_kib + blocks * 4))
}

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
exec </dev/console >/dev/console 2>&1
while read -r module; do
    insmod "/modules/$module"
done </modules/order
read -r command_line </proc/cmdline
read -r id </proc/sys/kernel/random/boot_id
id=$(echo "$id" | tr -d -)$(printf %08x "$(date +%s)")
[ -e /dev/input/event0 ] && acpid -l /dev/null -c /etc/acpi
find_disks
say "BOOT id=$id disks=${sizes:-none}"
mark_disks

mkfifo /never
exec 3<>/never          # nothing ever comes: read -t waits without a process
tenths=$(option beat)
tenths=${tenths:-1}
pulse_each=$((tenths < 10 ? 10 / tenths : 1))
n=0
pulses=0
last_pulse=
bad=0
wrote_kib=0
read -r up _ </proc/uptime
begin_writing "${up%.*}${up#*.}"
while :; do
    n=$((n + 1))
    read -r up _ </proc/uptime
    [ $((n % pulse_each)) != $((1 % pulse_each)) ] || pulse
    [ "$kib_s" = 0 ] || keep_writing "${up%.*}${up#*.}"
    say "BEAT n=$n id=$id up=$up pulses=$pulses wrote_kib=$wrote_kib bad=$bad"
    read -r -t $((tenths / 10)).$((tenths % 10)) _ <&3
done
