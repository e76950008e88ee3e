/* A load of every kind, until standard input ends. Usage: load NAPPERS SHORT_MS FORK_MS PAUSE_MS
 *
 *   NAPPERS threads that nap, each for another time; the last ones wake very rarely
 *   two threads that hand a byte to and fro for a millisecond, then pause for PAUSE_MS
 *   every SHORT_MS a thread that naps and ends, every FORK_MS a child that does; 0: none
 *
 * Prints "ready" once, then every 100 ms the number of exchanges so far. It dies with its parent. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int there[2], back[2];
static atomic_long exchanges;

static void nap(long us) {
  struct timespec length = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&length, NULL);
}

static void *napper(void *place) {
  for (long i = (long)place; ; ) nap(1000 * (1 + i * i));
  return NULL;
}

static void *echo(void *unused) {
  char byte;
  while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
    ;
  return unused;
}

static long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void *chat(void *pause_ms) {
  char byte = 'x';
  for (;;) {
    for (long end = now_us() + 1000; now_us() < end; exchanges++)
      if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1) return NULL;
    nap(1000 * (long)pause_ms);
  }
}

static void *brief(void *unused) {
  nap(2000);
  return unused;
}

static void *begin_threads(void *every_ms) {
  for (;;) {
    pthread_t thread;
    if (!pthread_create(&thread, NULL, brief, NULL)) pthread_join(thread, NULL);
    nap(1000 * (long)every_ms);
  }
  return NULL;
}

static void *begin_children(void *every_ms) {
  for (;;) {
    pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
      nap(2000);
      _exit(0);
    }
    waitpid(child, NULL, 0);
    nap(1000 * (long)every_ms);
  }
  return NULL;
}

static void begin(void *(*work)(void *), long argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, work, (void *)argument)) abort();
}

static void *report(void *unused) {
  for (;;) {
    nap(100000);
    printf("%ld\n", exchanges);
  }
  return unused;
}

int main(int argc, char **argv) {
  char bytes[64];
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (argc != 5 || pipe(there) || pipe(back)) return 2;
  for (long i = 0; i < atol(argv[1]); i++) begin(napper, i);
  begin(echo, 0);
  begin(chat, atol(argv[4]));
  if (atol(argv[2])) begin(begin_threads, atol(argv[2]));
  if (atol(argv[3])) begin(begin_children, atol(argv[3]));
  puts("ready");
  begin(report, 0);
  while (read(STDIN_FILENO, bytes, sizeof bytes) > 0)
    ;
  return 0;
}
