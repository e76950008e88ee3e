import { expect, it } from 'vitest';
import { EngineEvents, type EngineObserver } from './engine-observer.ts';
import { records, scriptedRecorder } from './testing/scripted-source.ts';

/** Notes each event with what can be compared of it. */
function noting(): { observer: EngineObserver; noted: unknown[][] } {
  const noted: unknown[][] = [];
  const observer: EngineObserver = {
    threadNamed: ({ tid, comm }) => noted.push(['threadNamed', tid, comm]),
    threadEnded: (tid) => noted.push(['threadEnded', tid]),
    switched: ({ tid }, timeNs) => noted.push(['switched', tid, timeNs]),
    recordsLost: (timeNs) => noted.push(['recordsLost', timeNs]),
  };
  return { observer, noted };
}

it('an event is reported to every observer, in the order in which they were registered', () => {
  const events = new EngineEvents();
  const calls: string[] = [];
  const [first, second] = ['first', 'second'].map((name) => ({
    recordsLost: (ns: number) => calls.push(`${name} ${ns}`),
  }));
  events.emit('recordsLost', 1);
  events.add(first!);
  events.add({});
  events.add(second!);
  events.emit('recordsLost', 2);
  expect(calls).toEqual(['first 2', 'second 2']);
});

it('an observer that is registered after construction sees what the records change', () => {
  using scripted = scriptedRecorder();
  const { source, recorder } = scripted;
  const { observer, noted } = noting();
  recorder.observe(observer);
  source.put(0, records.comm({ tid: 5, time: 1 }, 'worker'), records.switchIn({ tid: 5, time: 2 }));
  recorder.drain();
  expect(noted).toEqual([
    ['threadNamed', 5, ''],
    ['threadNamed', 5, 'worker'],
  ]);
  noted.length = 0;
  recorder.threads.watchSwitches(recorder.threads.get(5)!, true);
  source.put(
    0,
    records.switchOut({ tid: 5, time: 3 }),
    records.lost({ tid: 5, time: 4 }, 7),
    records.exit({ tid: 5, time: 5 }),
  );
  recorder.drain();
  expect(noted).toEqual([
    ['switched', 5, 3],
    ['recordsLost', 4],
    ['threadEnded', 5],
  ]);
});
