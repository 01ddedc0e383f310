/* Runs a sketch: on this machine as a main that prints, on a microcontroller under QEMU by semihosting. */

#include "Arduino.h"
#include "serial_input.h"

#ifdef __arm__
extern "C" {
#include "board.h"
extern uint32_t data_stored[], data_start[], data_end[], bss_start[], bss_end[];
}
enum { SYS_WRITE0 = 0x04, SYS_EXIT_EXTENDED = 0x20 };
static const uint32_t ENDED_WELL = 0x20026;

static void write(const char *text)
{
    semihosting(SYS_WRITE0, text);
}

static void end(uint32_t status)
{
    const uint32_t reason_and_status[] = {ENDED_WELL, status};
    semihosting(SYS_EXIT_EXTENDED, reason_and_status);
    for (;;)
        ;
}

extern "C" void failed(const char *reason)
{
    write(reason);
    end(1);
}
#else
#include <stdio.h>

static void write(const char *text)
{
    fputs(text, stdout);
}

static void end(int status)
{
    exit(status);
}
#endif

SerialPort Serial;
static const char *unread = SERIAL_INPUT;

/* How often it was asked: times are none of a sketch's results here. */
unsigned long micros()
{
    static unsigned long calls;
    return ++calls;
}

void yield()
{
    if (!Serial.available())
        end(0);
}

void SerialPort::begin(unsigned long) {}

int SerialPort::available()
{
    return *unread != '\0';
}

int SerialPort::read()
{
    return *unread ? *unread++ : -1;
}

size_t SerialPort::print(const char *text)
{
    write(text);
    return 0;
}

size_t SerialPort::print(char character)
{
    const char text[] = {character, '\0'};
    return print(text);
}

size_t SerialPort::print(unsigned long number)
{
    char digits[21] = "";
    size_t first = sizeof digits - 1;
    do
        digits[--first] = static_cast<char>('0' + number % 10);
    while (number /= 10);
    return print(digits + first);
}

/* As Arduino does: no exponents, and words for what no digits tell. */
size_t SerialPort::print(double number, int digits)
{
    if (number != number)
        return print("nan");
    if (number < 0) {
        print('-');
        number = -number;
    }
    if (number > 4294967040.0)
        return print("ovf");
    double half = 0.5;
    for (int i = 0; i < digits; ++i)
        half /= 10;
    number += half;
    const unsigned long whole = static_cast<unsigned long>(number);
    print(whole);
    print('.');
    number -= static_cast<double>(whole);
    for (int i = 0; i < digits; ++i) {
        number *= 10;
        const int digit = static_cast<int>(number);
        print(static_cast<char>('0' + digit));
        number -= digit;
    }
    return 0;
}

size_t SerialPort::println(const char *text)
{
    print(text);
    return print('\n');
}

size_t SerialPort::println(double number, int digits)
{
    print(number, digits);
    return print('\n');
}

static void run_sketch()
{
    setup();
    for (;;) {
        loop();
        yield();
    }
}

#ifdef __arm__
extern "C" void run(void)
{
    for (uint32_t *to = data_start, *from = data_stored; to < data_end;)
        *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;)
        *to++ = 0;
    run_sketch();
}
#else
int main()
{
    run_sketch();
}
#endif
