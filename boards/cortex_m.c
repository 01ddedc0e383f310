/* Start-up of a Cortex-M, with FPU or without. */

#include "board.h"

extern uint32_t stack_top[];

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define COPROCESSOR_ACCESS REGISTER(0xE000ED88)
#define SYSTICK_CONTROL REGISTER(0xE000E010)
#define SYSTICK_RELOAD REGISTER(0xE000E014)
#define SYSTICK_VALUE REGISTER(0xE000E018)

/* SysTick counts down at 25 MHz, and QEMU runs an instruction a nanosecond (-icount shift=0). */
enum { ENABLED = 1, PROCESSOR_CLOCK = 4, WRAPPED = 1 << 16, INSTRUCTIONS_PER_TICK = 40 };

void semihosting(uint32_t operation, const void *argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}

__attribute__((naked)) uint32_t *stack_pointer(void)
{
    __asm__ volatile("mov r0, sp\n\tbx lr");
}

void start_counting(void)
{
    SYSTICK_RELOAD = 0xFFFFFF;
    SYSTICK_VALUE = 0;
    SYSTICK_CONTROL = ENABLED | PROCESSOR_CLOCK;
    while (SYSTICK_VALUE == 0)
        ;
    (void)SYSTICK_CONTROL; /* reading it forgets that the counter has passed zero */
}

uint32_t instructions(void)
{
    uint32_t ticks = SYSTICK_RELOAD - SYSTICK_VALUE;
    if (SYSTICK_CONTROL & WRAPPED)
        failed("more than 671 million instructions");
    return ticks * INSTRUCTIONS_PER_TICK;
}

static void reset(void)
{
#ifdef __ARM_FP
    COPROCESSOR_ACCESS |= 0xF << 20; /* 10 and 11 are the FPU */
    __asm__ volatile("dsb\n\tisb");
#endif
    run();
}

static void fault(void)
{
    failed("a fault of the processor");
}

/* The initial stack pointer, then reset, NMI and the faults. */
__attribute__((section(".first"), used)) static const uintptr_t vectors[] = {
    (uintptr_t)stack_top, (uintptr_t)reset, (uintptr_t)fault, (uintptr_t)fault,
    (uintptr_t)fault,     (uintptr_t)fault, (uintptr_t)fault,
};
