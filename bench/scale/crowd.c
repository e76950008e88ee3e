/* Many tasks. Usage:
 *
 *   crowd threads N WAKES    N threads that each wake WAKES times a second, evenly spread; prints "ready", then every
 *                            second how often all of them woke, until standard input ends
 *   crowd forks RATE SECONDS waits for a line on standard input, then forks RATE children a second that nap for a
 *                            millisecond; prints forks, failed forks, the mean and the longest fork in microseconds
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

static atomic_long wakes;
static long period_us;

static void nap(long us) {
  struct timespec length = {us / 1000000, us % 1000000 * 1000};
  nanosleep(&length, NULL);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

static void *sleeper(void *place) {
  nap((long)((uintptr_t)place * 2654435761u % (unsigned long)period_us));
  for (;;) {
    nap(period_us);
    atomic_fetch_add(&wakes, 1);
  }
  return NULL;
}

static void *wait_for_eof(void *unused) {
  while (getchar() != EOF)
    ;
  exit(0);
  return unused;
}

static int threads(long count, double often) {
  pthread_attr_t small;
  pthread_t thread;
  period_us = (long)(1e6 / often);
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 32768);
  for (long i = 0; i < count; i++)
    if (pthread_create(&thread, &small, sleeper, (void *)(uintptr_t)(i + 1)) != 0) return 1;
  if (pthread_create(&thread, &small, wait_for_eof, NULL) != 0) return 1;
  puts("ready");
  for (;;) {
    fflush(stdout);
    long before = wakes;
    sleep(1);
    printf("%ld\n", wakes - before);
  }
}

static int forks(long rate, double seconds) {
  long forked = 0, failed = 0;
  double longest = 0, sum = 0;
  signal(SIGCHLD, SIG_IGN);
  puts("ready");
  fflush(stdout);
  getchar();
  for (double start = now(); now() - start < seconds; forked++) {
    double early = start + (double)forked / rate - now();
    if (early > 0) nap((long)(early * 1e6));
    double before = now();
    pid_t pid = fork();
    if (pid == 0) {
      nap(1000);
      _exit(0);
    }
    double took = now() - before;
    if (pid < 0) failed++;
    if (took > longest) longest = took;
    sum += took;
  }
  printf("%ld %ld %.0f %.0f\n", forked, failed, sum / forked * 1e6, longest * 1e6);
  return 0;
}

int main(int argc, char **argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc == 4 && strcmp(argv[1], "threads") == 0) return threads(atol(argv[2]), atof(argv[3]));
  if (argc == 4 && strcmp(argv[1], "forks") == 0) return forks(atol(argv[2]), atof(argv[3]));
  return 2;
}
