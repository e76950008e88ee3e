// A small shop with worker threads that dies at its till: what was each thread doing just before?
//
//     npx ringkeep record -- node examples/checkout-crash.mjs
import { setTimeout as sleep } from 'node:timers/promises';
import { isMainThread, threadId, Worker } from 'node:worker_threads';

const ORDERS_UNTIL_CRASH = 60;

/** Something to keep a CPU busy: the price of an order, the long way. */
function priceOf(order) {
  let price = order;
  for (let i = 0; i < 400_000; i++) price = (price * 1_103_515_245 + 12_345) % 2_147_483_648;
  return price;
}

if (isMainThread) {
  const workers = [1, 2].map(() => new Worker(new URL(import.meta.url)));
  for (let order = 1; order <= ORDERS_UNTIL_CRASH; order++) {
    workers[order % workers.length].postMessage(order);
    priceOf(order);
    await sleep(10);
  }
  console.log(`order ${ORDERS_UNTIL_CRASH}: the till crashes`);
  process.kill(process.pid, 'SIGSEGV');
  await sleep(1000);
} else {
  const { parentPort } = await import('node:worker_threads');
  parentPort.on('message', (order) => {
    const price = priceOf(order);
    if (order % 20 === 0) console.log(`worker ${threadId}: order ${order} costs ${price}`);
  });
}
