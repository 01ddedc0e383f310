/* What a program on the board may call. */

#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

int main(void);
void reset(void);
void print(const char *text);
void print_hex(uint32_t value);
/* Ticks of the processor's clock since the start, up to 2^24. */
void start_ticks(void);
uint32_t ticks(void);

#endif
