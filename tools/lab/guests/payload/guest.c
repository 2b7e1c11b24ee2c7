/* The proof guest: shows that it was neither restarted nor damaged.
 *
 * It fills a working set with pseudo random words, rewrites some pages at
 * each tick, checks every page before it writes it and all of them in a slow
 * sweep, and counts aloud on COM1. See proof.py for the meaning of its lines.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define PAGE_WORDS 1024u
#define WS_START 0x200000u /* 2 MiB: above this program and its command line */
#define TICKS_PER_S 100u
#define PM_TIMER_HZ 3579545u
#define PM_STATUS 0x600
#define PM_ENABLE 0x602
#define PM_CONTROL 0x604
#define PM_TIMER 0x608
#define POWER_BUTTON 0x100
#define SLEEP_ENABLE 0x2000
#define POWER_OFF_MS 10000

extern void tick_entry(void);
extern void fault_entry(void);
extern void flush_tlb(void);

u64 idt[48];
u32 flush_wanted = 1;

static char command_line[512];
static char line[256];
static u32 line_length;

static u32 ws_mib = 16, rate, print_ms = 100, sweep = 64, full;
static u32 off_s, spoil_s; /* after so many seconds; 0: never */
static u32 seed, id_high, id_low;
static u32 pages;
static u32 ticks, lines, done, bad, swept, generation = 1;
static u32 cursor;       /* the next page to rewrite */
static u32 debt;         /* pages owed, in hundredths */
static u32 sum;          /* of all words of the working set, kept up to date */
static u32 sweep_cursor; /* the next page to sweep */
static u32 sweep_sum;    /* of the pages before sweep_cursor */

/* Time that passes only while the guest runs (QEMU's virtual clock). */
static u32 have_pm, pm_last, pm_rest, up_ms;
/* Time of day: its last full second, and the virtual time of that moment. */
static u32 rtc_day, rtc_second_of_day, rtc_register, rtc_s, rtc_at_ms;
static u32 rtc_first_s, rtc_first_ms, rtc_seen;
static u32 rtc_known, rtc_polled_ms;

/* ------------------------------------------------------------- the machine */

static inline void outb(u16 port, u8 value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(u16 port, u16 value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline u8 inb(u16 port)
{
    u8 value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u16 inw(u16 port)
{
    u16 value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline u32 inl(u16 port)
{
    u32 value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* ---------------------------------------------------------------- printing */

static void put(char c)
{
    if (line_length < sizeof line - 8)
        line[line_length++] = c;
}

static void put_text(const char *text)
{
    while (*text)
        put(*text++);
}

static void put_hex(u32 value)
{
    int shift;
    for (shift = 28; shift >= 0; shift -= 4)
        put("0123456789abcdef"[value >> shift & 15]);
}

static void put_number(u32 value)
{
    char digits[10];
    int n = 0;
    do
        digits[n++] = '0' + value % 10;
    while (value /= 10);
    while (n)
        put(digits[--n]);
}

static void field(const char *name, u32 value)
{
    put(' ');
    put_text(name);
    put('=');
    put_number(value);
}

static void field_id(void)
{
    put_text(" id=");
    put_hex(id_high);
    put_hex(id_low);
}

static void send(u8 c)
{
    u32 patience = 100000;
    while (!(inb(0x3fd) & 0x20) && --patience)
        ;
    outb(0x3f8, c);
}

/* Ends each line with "*" and two hex digits, the exclusive or of what stands
 * before: a line may be cut in two by the switchover. */
static void send_line(void)
{
    u32 i;
    u8 check = 0;
    for (i = 0; i < line_length; i++)
        check ^= line[i];
    put('*');
    put("0123456789abcdef"[check >> 4]);
    put("0123456789abcdef"[check & 15]);
    put('\n');
    for (i = 0; i < line_length; i++)
        send(line[i]);
    line_length = 0;
}

/* ------------------------------------------------------------------- clocks */

/* The timer has 24 bits and wraps after 4.7 s: call this more often. */
static void read_virtual_clock(void)
{
    u32 now, step;
    if (!have_pm) {
        up_ms = ticks * (1000 / TICKS_PER_S);
        return;
    }
    now = inl(PM_TIMER) & 0xffffff;
    step = (now - pm_last) & 0xffffff;
    pm_last = now;
    /* Whole milliseconds, the rest in thousandths of a timer step; in slices
     * so that 32 bits suffice. */
    while (step) {
        u32 slice = step > 4000000 ? 4000000 : step;
        u32 thousandths = (slice % 1000) * 1000 + pm_rest;
        step -= slice;
        /* slice = 1000 q + r; q * 10^6 thousandths in q steps of the divisor */
        slice /= 1000;
        while (slice--) {
            thousandths += 1000000;
            up_ms += thousandths / PM_TIMER_HZ;
            thousandths %= PM_TIMER_HZ;
        }
        up_ms += thousandths / PM_TIMER_HZ;
        pm_rest = thousandths % PM_TIMER_HZ;
    }
}

static u8 cmos(u8 reg)
{
    outb(0x70, reg);
    return inb(0x71);
}

static u32 from_bcd(u32 value)
{
    return (value >> 4) * 10 + (value & 15);
}

/* The time of day goes on while the guest stands still, the virtual clock does
 * not. Both are noted together at the moment a new second begins. */
static void read_clock_of_day(void)
{
    u32 hour, minute, second, again, now;
    /* Who looks seldom cannot tell when the second began. */
    u32 prompt = rtc_known && up_ms - rtc_polled_ms <= 15;
    rtc_polled_ms = up_ms;
    second = cmos(0);
    if (rtc_known && second == rtc_register)
        return;
    rtc_known = 1;
    do {
        second = cmos(0);
        minute = cmos(2);
        hour = cmos(4) & 0x3f;
        again = cmos(0);
    } while (second != again);
    rtc_register = second;
    if (!(cmos(0x0b) & 4)) {
        second = from_bcd(second);
        minute = from_bcd(minute);
        hour = from_bcd(hour);
    }
    now = hour * 3600 + minute * 60 + second;
    if (now < rtc_second_of_day)
        rtc_day++;
    rtc_second_of_day = now;
    if (!prompt)
        return;
    read_virtual_clock();
    rtc_s = rtc_day * 86400 + now;
    rtc_at_ms = up_ms;
    if (!rtc_seen) {
        rtc_seen = 1;
        rtc_first_s = rtc_s;
        rtc_first_ms = rtc_at_ms;
    }
}

/* --------------------------------------------------------------- the memory */

static u32 mix(u32 x);

/* The cycle counter begins near 0 in each new QEMU: the time of day keeps two
 * boots apart, the counter's low bits two guests of the same second. */
static void choose_id(void)
{
    u32 high;
    __asm__ volatile("rdtsc" : "=a"(id_low), "=d"(high));
    read_clock_of_day();
    id_high = mix(rtc_second_of_day ^ high);
    seed = mix(id_low) ^ mix(id_high + 1);
}

static u32 *page_at(u32 page)
{
    return (u32 *)(WS_START + page * 4096);
}

static u32 mix(u32 x)
{
    x ^= x >> 16;
    x *= 0x7feb352d;
    x ^= x >> 15;
    x *= 0x846ca68b;
    return x ^ x >> 16;
}

static u32 mark(u32 page, u32 gen)
{
    return mix(seed ^ mix(page) ^ gen * 0x9e3779b1);
}

static u32 next_word(u32 x)
{
    x ^= x << 13;
    x ^= x >> 17;
    return x ^ x << 5;
}

/* Words 0, 512 and 1023 of a page carry the mark of its generation; the rest
 * stays as filled (full=0), or changes with it (full=1). */
static u32 first_word(u32 page, u32 gen)
{
    return mark(page, full ? gen : 0) | 1;
}

static int is_mark(u32 i)
{
    return i == 0 || i == PAGE_WORDS / 2 || i == PAGE_WORDS - 1;
}

static u32 generation_of(u32 page)
{
    return page < cursor ? generation : generation - 1;
}

static void report(u32 page, u32 word, u32 want, u32 got)
{
    if (++bad > 16)
        return;
    put_text("BAD");
    field("page", page);
    field("word", word);
    put_text(" want=");
    put_hex(want);
    put_text(" got=");
    put_hex(got);
    field("gen", generation_of(page));
    field_id();
    send_line();
}

static u32 write_whole(u32 page, u32 gen)
{
    u32 *word = page_at(page), x = first_word(page, gen), m = mark(page, gen);
    u32 i, total = 0;
    for (i = 0; i < PAGE_WORDS; i++) {
        u32 value = is_mark(i) ? m : x;
        word[i] = value;
        total += value;
        x = next_word(x);
    }
    return total;
}

/* Counts a damaged page once. Returns the sum of what is really there. */
static u32 check_whole(u32 page, u32 gen)
{
    u32 *word = page_at(page), x = first_word(page, gen), m = mark(page, gen);
    u32 i, total = 0, damaged = 0;
    for (i = 0; i < PAGE_WORDS; i++) {
        u32 want = is_mark(i) ? m : x;
        u32 got = word[i];
        total += got;
        if (got != want && !damaged) {
            damaged = 1;
            report(page, i, want, got);
        }
        x = next_word(x);
    }
    return total;
}

static u32 rewrite_marks(u32 page)
{
    u32 *word = page_at(page), m = mark(page, generation);
    u32 i, want = mark(page, generation - 1), delta = 0, damaged = 0;
    static const u32 places[3] = {0, PAGE_WORDS / 2, PAGE_WORDS - 1};
    for (i = 0; i < 3; i++) {
        u32 got = word[places[i]];
        if (got != want && !damaged) {
            damaged = 1;
            report(page, places[i], want, got);
        }
        word[places[i]] = m;
        delta += m - got;
    }
    return delta;
}

static void rewrite_next_page(void)
{
    u32 delta;
    flush_tlb();
    if (full) {
        delta = -check_whole(cursor, generation - 1);
        delta += write_whole(cursor, generation);
    } else {
        delta = rewrite_marks(cursor);
    }
    sum += delta;
    if (cursor < sweep_cursor)
        sweep_sum += delta;
    done++;
    if (++cursor == pages) {
        cursor = 0;
        generation++;
    }
}

static void sweep_next_page(void)
{
    sweep_sum += check_whole(sweep_cursor, generation_of(sweep_cursor));
    if (++sweep_cursor < pages)
        return;
    if (sweep_sum != sum)
        report(pages, 0, sum, sweep_sum);
    sweep_cursor = sweep_sum = 0;
    swept++;
}

/* ------------------------------------------------------------------ set-up */

static u32 option(const char *name, u32 otherwise)
{
    const char *p = command_line;
    while (*p) {
        const char *n = name;
        while (*n && *p == *n)
            p++, n++;
        if (!*n && *p == '=') {
            u32 value = 0;
            for (p++; *p >= '0' && *p <= '9'; p++)
                value = value * 10 + (*p - '0');
            return value;
        }
        while (*p && *p != ' ')
            p++;
        while (*p == ' ')
            p++;
    }
    return otherwise;
}

static void read_options(const char *text)
{
    u32 i;
    for (i = 0; text[i] && i < sizeof command_line - 1; i++)
        command_line[i] = text[i];
    ws_mib = option("ws", ws_mib);
    rate = option("rate", rate);
    print_ms = option("print", print_ms);
    sweep = option("sweep", sweep);
    full = option("full", full);
    off_s = option("off", off_s);
    spoil_s = option("spoil", spoil_s);
    flush_wanted = option("flush", flush_wanted);
    if (print_ms < 10)
        print_ms = 10;
}

static void fit_working_set(u32 ram_kib)
{
    u32 room_mib = ram_kib > WS_START / 1024 ? ram_kib / 1024 - 2 : 0;
    if (ws_mib == 0)
        ws_mib = 1;
    if (ws_mib > room_mib) {
        put_text("ERROR too little memory for the working set:");
        field("ws", ws_mib);
        field("room", room_mib);
        field("ram_kib", ram_kib);
        field_id();
        send_line();
        ws_mib = room_mib;
    }
    pages = ws_mib * 256;
}

static void set_gate(u32 vector, void (*entry)(void))
{
    u32 address = (u32)entry;
    idt[vector] = (u64)(address & 0xffff0000u) << 32 | 0x00008e0000000000ull
                  | 0x08 << 16 | (address & 0xffff);
}

static void set_up_interrupts(void)
{
    u32 i;
    for (i = 0; i < 48; i++)
        set_gate(i, fault_entry);
    set_gate(32, tick_entry);
    outb(0x20, 0x11);
    outb(0xa0, 0x11);
    outb(0x21, 32);
    outb(0xa1, 40);
    outb(0x21, 4);
    outb(0xa1, 2);
    outb(0x21, 1);
    outb(0xa1, 1);
    outb(0x21, 0xfe); /* only the timer */
    outb(0xa1, 0xff);
}

static void set_up_power(void)
{
    have_pm = inl(PM_TIMER) != 0xffffffffu;
    if (!have_pm)
        return;
    pm_last = inl(PM_TIMER) & 0xffffff;
    outw(PM_STATUS, POWER_BUTTON);
    outw(PM_ENABLE, POWER_BUTTON);
}

static void power_off(const char *why)
{
    u32 asked_ms;
    put_text("OFF n=");
    put_number(lines);
    put_text(" why=");
    put_text(why);
    field_id();
    send_line();
    outw(PM_CONTROL, SLEEP_ENABLE);
    outb(0xf4, 0); /* isa-debug-exit, where there is no ACPI */
    /* QEMU stops this processor a little later, from another thread. */
    read_virtual_clock();
    for (asked_ms = up_ms; have_pm && up_ms - asked_ms < POWER_OFF_MS;)
        read_virtual_clock();
    put_text("ERROR cannot power off: neither ACPI nor isa-debug-exit");
    field_id();
    send_line();
}

void setup(u32 magic, u32 *information)
{
    u32 i, flags = information[0], upper_kib = information[2];
    outb(0x3f9, 0);
    outb(0x3fb, 3);
    outb(0x3fc, 3);
    if (magic == 0x2badb002 && flags & 4)
        read_options((const char *)information[4]);
    set_up_power();
    choose_id();
    set_up_interrupts();
    fit_working_set(flags & 1 ? upper_kib + 1024 : 0);
    put_text("BOOT");
    field_id();
    field("ws", ws_mib);
    field("pages", pages);
    field("rate", rate);
    field("print", print_ms);
    field("flush", flush_wanted);
    field("sweep", sweep);
    field("full", full);
    field("off", off_s);
    field("ram_kib", upper_kib + 1024);
    put_text(have_pm ? " clock=pm" : " clock=pit");
    send_line();
    for (i = 0; i < pages; i++) {
        flush_tlb();
        sum += write_whole(i, 0);
        if (i % 64 == 0)
            read_virtual_clock(); /* before it wraps */
    }
    put_text("READY");
    field_id();
    read_virtual_clock();
    field("fill_ms", up_ms);
    send_line();
}

void start_ticks(void)
{
    u32 divisor = 1193182 / TICKS_PER_S;
    outb(0x43, 0x34);
    outb(0x40, divisor & 255);
    outb(0x40, divisor >> 8);
}

void fault(void)
{
    put_text("FAULT");
    field_id();
    send_line();
}

/* -------------------------------------------------------------------- ticks */

static void say_where_we_are(void)
{
    put_text("T");
    field("n", ++lines);
    field("t", ticks);
    field_id();
    field("gen", generation);
    field("done", done);
    field("bad", bad);
    put_text(" sum=");
    put_hex(sum);
    field("swept", swept);
    field("up", up_ms);
    if (rtc_seen) {
        field("rtc", rtc_s - rtc_first_s);
        field("at", rtc_at_ms - rtc_first_ms);
    }
    send_line();
}

void tick(void)
{
    u32 i;
    static u32 off_asked;
    ticks++;
    outb(0x20, 0x20);
    read_virtual_clock();
    read_clock_of_day();
    if (pages) {
        for (debt += rate; debt >= TICKS_PER_S; debt -= TICKS_PER_S)
            rewrite_next_page();
        for (i = 0; i < sweep && i < pages; i++)
            sweep_next_page();
        if (spoil_s && ticks == spoil_s * TICKS_PER_S)
            page_at(pages / 2)[77] ^= 1; /* shows that damage is found */
    }
    if (ticks % (print_ms * TICKS_PER_S / 1000) == 0)
        say_where_we_are();
    if (off_asked)
        return;
    if (off_s && ticks >= off_s * TICKS_PER_S) {
        off_asked = 1;
        power_off("option");
    } else if (have_pm && inw(PM_STATUS) & POWER_BUTTON) {
        off_asked = 1;
        power_off("button");
    }
}
