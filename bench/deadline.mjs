// Waiting for a child process, with a deadline.

/**
 * The first value of the next `event` of `child`; after `patienceMs` the child is killed, and the error says what it
 * was.
 */
export async function within(child, event, what, patienceMs) {
  let timer;
  const deadline = new Promise((_, reject) => {
    timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`waited ${patienceMs / 1000} s in vain for ${what} (${event})`));
    }, patienceMs);
  });
  try {
    return await Promise.race([new Promise((resolve) => child.once(event, resolve)), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
