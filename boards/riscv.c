/* Start-up of a 32-bit RISC-V. */

#include "board.h"

__asm__(".option arch, +zicsr"); /* control registers, which every core has that counts */

static uint32_t before[2];

/* The shifts around it tell this ebreak from a breakpoint; all must lie in one page, 4 bytes each. */
void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(".option push\n\t.option norvc\n\t.balign 16\n\t"
                     "slli x0, x0, 0x1f\n\tebreak\n\tsrai x0, x0, 7\n\t.option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
}

__attribute__((naked)) uint32_t *stack_pointer(void)
{
    __asm__ volatile("mv a0, sp\n\tret");
}

static void read_counter(uint32_t count[2])
{
    __asm__ volatile("rdinstret %0\n\trdinstreth %1" : "=r"(count[0]), "=r"(count[1]));
}

void start_counting(void)
{
    read_counter(before);
}

uint32_t instructions(void)
{
    uint32_t now[2];
    read_counter(now);
    if (now[1] != before[1])
        failed("the counter of instructions has wrapped");
    return now[0] - before[0];
}

__attribute__((used, aligned(4))) static void fault(void)
{
    failed("a fault of the processor");
}

__attribute__((section(".first"), naked, used)) static void reset(void)
{
    __asm__ volatile("la sp, stack_top\n\tla t0, fault\n\tcsrw mtvec, t0\n\tj run");
}
