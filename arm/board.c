/* Start-up of a Cortex-M with FPU, and semihosting: the debugger, here QEMU, prints and ends. */

#include "board.h"

extern uint32_t data_stored[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];

#define REGISTER(address) (*(volatile uint32_t *)(address))

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };
static const uint32_t ENDED_WELL = 0x20026, ENDED_BADLY = 0x20023;

static void semihosting(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

void print(const char *text)
{
    semihosting(SYS_WRITE0, (uint32_t)text);
}

void print_hex(uint32_t value)
{
    char text[] = "00000000\n";
    for (int i = 7; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    print(text);
}

#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_VALUE REGISTER(0xE000E018)

/* SysTick counts down from 2^24 - 1 at the processor's clock. */
void start_ticks(void)
{
    SYSTICK_RELOAD = 0xFFFFFF;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = 5;
    while (SYSTICK_VALUE == 0)
        ;
}

uint32_t ticks(void)
{
    return SYSTICK_RELOAD - SYSTICK_VALUE;
}

static void failed(void)
{
    print("fault\n");
    semihosting(SYS_EXIT, ENDED_BADLY);
    for (;;)
        ;
}

void reset(void)
{
    REGISTER(0xE000ED88) |= 0xF << 20; /* CPACR: coprocessors 10 and 11 are the FPU */
    __asm__ volatile("dsb\n\tisb");
    for (uint32_t *to = data_start, *from = data_stored; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    main();
    semihosting(SYS_EXIT, ENDED_WELL);
    for (;;)
        ;
}

/* The initial stack pointer, then reset, NMI and the faults. */
__attribute__((section(".vectors"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)stack_top, (uintptr_t)reset,  (uintptr_t)failed, (uintptr_t)failed,
    (uintptr_t)failed,    (uintptr_t)failed, (uintptr_t)failed,
};
