/* Entry, interrupt frame and TLB flush of the proof guest (multiboot 1).
 *
 * The guest never returns from an interrupt: each tick starts on a fresh
 * stack. While it halts, the stack holds nothing that matters, so a stale
 * copy of the stack page can do no harm.
 */
        .set    MAGIC, 0x1badb002
        .set    FLAGS, 0x00000002       /* we want mem_lower, mem_upper */

        .section .multiboot, "a"
        .align  4
        .long   MAGIC, FLAGS, -(MAGIC + FLAGS)

        .text
        .globl  _start
_start:
        cli
        cld
        mov     $stack_top, %esp
        lgdt    gdt_pointer
        ljmp    $0x08, $1f
1:      mov     $0x10, %ecx
        mov     %ecx, %ds
        mov     %ecx, %es
        mov     %ecx, %fs
        mov     %ecx, %gs
        mov     %ecx, %ss
        push    %ebx                    /* the multiboot information */
        push    %eax                    /* the boot loader's magic number */
        call    setup
        lidt    idt_pointer
        call    start_ticks
        jmp     idle

        .globl  tick_entry
tick_entry:
        mov     $stack_top, %esp
        call    flush_tlb
        call    tick
        call    settle
idle:
        sti                             /* takes effect after the hlt began */
        hlt
        cli
        jmp     idle

        .globl  fault_entry
fault_entry:
        mov     $stack_top, %esp
        call    fault
2:      cli
        hlt
        jmp     2b

/* QEMU 7.2 without KVM clears the migration bitmap of a page, but not the
 * TLB entry that says "already dirty"; later writes then go unseen and are
 * lost at the destination. Toggling CR4.PGE empties the TLB. */
        .globl  flush_tlb
flush_tlb:
        cmpl    $0, flush_wanted
        je      3f
        mov     %cr4, %eax
        xor     $0x80, %eax
        mov     %eax, %cr4
        xor     $0x80, %eax
        mov     %eax, %cr4
3:      ret

/* The last writes before the guest halts: flush, then touch each page of our
 * own state once more. Whatever was written before and went unseen is noted
 * now; nothing else is written until the next flush, in tick_entry. */
settle:
        call    flush_tlb
        mov     $data_start, %eax
4:      lock orl $0, (%eax)
        add     $4096, %eax
        cmp     $data_end, %eax
        jb      4b
        ret

        .data
        .align  8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      /* code: 0-4 GiB, accessed bit set */
        .quad   0x00cf93000000ffff      /* data: 0-4 GiB, accessed bit set */
gdt_end:
gdt_pointer:
        .word   gdt_end - gdt - 1
        .long   gdt
idt_pointer:
        .word   48 * 8 - 1
        .long   idt

        .section .stack, "aw", @nobits
        .align  4096
        .skip   4096
stack_top:

        .section .note.GNU-stack, "", @progbits
