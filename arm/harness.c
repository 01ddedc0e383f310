/* Evaluates a model at the points of points.h; prints its stack, its time and the outputs' bits.

   MODEL_EVAL is the function, MODEL_HEADER declares it; without them it measures itself. */

#include <string.h>

#include "board.h"
#include "points.h"

#ifdef MODEL_EVAL
#include MODEL_HEADER
#else
#define MODEL_EVAL(x, u) ((u)[0] = (x)[0])
#endif

#define PAINT 0xDEADBEEFu
#define PAINTED_WORDS 65536

static float outputs[POINTS][OUTPUTS];

/* How deep one evaluation reaches into the stack: paint what is below, and look what is left. */
__attribute__((noinline)) static uint32_t stack_bytes(void)
{
    volatile uint32_t *here;
    __asm__ volatile("mov %0, sp" : "=r"(here));
    for (int i = 1; i <= PAINTED_WORDS; i++)
        here[-i] = PAINT;
    MODEL_EVAL(points[0], outputs[0]);
    int deepest = PAINTED_WORDS;
    while (deepest > 0 && here[-deepest] == PAINT)
        deepest--;
    return 4 * (uint32_t)deepest;
}

int main(void)
{
    print_hex(stack_bytes());
    start_ticks();
    uint32_t before = ticks();
    for (int i = 0; i < POINTS; i++)
        MODEL_EVAL(points[i], outputs[i]);
    print_hex(ticks() - before);
    for (int i = 0; i < POINTS; i++)
        for (int j = 0; j < OUTPUTS; j++) {
            uint32_t bits;
            memcpy(&bits, &outputs[i][j], sizeof bits);
            print_hex(bits);
        }
    return 0;
}
