/* Two threads that hand a byte to and fro through pipes, at a given number of exchanges a second: each exchange is two
 * switches in and two out. Both stay on the first CPU: across CPUs the rate depends on how they happen to be placed.
 * Usage: ping-pong EXCHANGES_PER_SECOND SECONDS */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];

static void *echo(void *unused) {
  char byte;
  while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
    ;
  return unused;
}

int main(int argc, char **argv) {
  if (argc != 3 || pipe(there) || pipe(back)) return 2;
  const long per_ms = atol(argv[1]) / 1000;
  const long milliseconds = atol(argv[2]) * 1000;
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  if (sched_setaffinity(0, sizeof first, &first)) return 2;
  pthread_t thread;
  if (pthread_create(&thread, NULL, echo, NULL)) return 2;
  struct timespec due;
  clock_gettime(CLOCK_MONOTONIC, &due);
  char byte = 'x';
  for (long ms = 0; ms < milliseconds; ms++) {
    for (long i = 0; i < per_ms; i++)
      if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return 1;
    due.tv_nsec += 1000000;
    if (due.tv_nsec >= 1000000000) {
      due.tv_nsec -= 1000000000;
      due.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  printf("%ld exchanges\n", per_ms * milliseconds);
  return 0;
}
