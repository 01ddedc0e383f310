/* Evaluates a model at the points of points.h; prints its stack, its instructions, its outputs' bits.

   MODEL_HEADER declares it and tells its sizes, MODEL_EVAL is the function; without that this is
   the same program but for the model. */

#include <string.h>

#include "board.h"
#include "points.h"
#include MODEL_HEADER

#ifndef MODEL_EVAL
#define MODEL_EVAL(x, u) ((u)[0] = (x)[0])
#endif

enum { PAINTED_WORDS = 65536 };
static const uint32_t PAINT = 0xDEADBEEF;

enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
static const uint32_t ENDED_WELL = 0x20026;

extern uint32_t data_stored[], data_start[], data_end[], bss_start[], bss_end[];

static float outputs[POINTS][MODEL_OUTPUTS];

static void print(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

static void print_hex(uint32_t value)
{
    char text[] = "00000000\n";
    for (int i = 7; i >= 0; i--, value >>= 4)
        text[i] = "0123456789abcdef"[value & 15];
    print(text);
}

static void end(uint32_t status)
{
    const uint32_t reason_and_status[] = {ENDED_WELL, status};
    semihosting(SYS_EXIT_EXTENDED, reason_and_status);
    for (;;)
        ;
}

void failed(const char *reason)
{
    print(reason);
    end(1);
}

/* How deep one evaluation reaches into the stack: paint what is below, and look what is left. */
__attribute__((noinline)) static uint32_t stack_bytes(void)
{
    volatile uint32_t *here = stack_pointer();
    for (int i = 1; i <= PAINTED_WORDS; i++)
        here[-i] = PAINT;
    MODEL_EVAL(points[0], outputs[0]);
    int deepest = PAINTED_WORDS;
    while (deepest > 0 && here[-deepest] == PAINT)
        deepest--;
    if (deepest == PAINTED_WORDS)
        failed("more stack than 256 KiB");
    return 4 * (uint32_t)deepest;
}

static void evaluate(void)
{
    print_hex(stack_bytes());
    start_counting();
    for (int i = 0; i < POINTS; i++)
        MODEL_EVAL(points[i], outputs[i]);
    print_hex(instructions());
    for (int i = 0; i < POINTS; i++)
        for (int j = 0; j < MODEL_OUTPUTS; j++) {
            uint32_t bits;
            memcpy(&bits, &outputs[i][j], sizeof bits);
            print_hex(bits);
        }
}

void run(void)
{
    for (uint32_t *to = data_start, *from = data_stored; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    evaluate();
    end(0);
}
