import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HARMLESS_SIGNALS, signalName } from '../abi/signal.ts';
import { formatRate, makeTrigger, parseRate, type TriggerCondition } from './trigger.ts';
import { formatTrigger, parseTrigger } from './trigger-text.ts';

const FATAL = Array.from({ length: 64 }, (_, index) => index + 1).filter((signal) => !HARMLESS_SIGNALS.has(signal));

const durationNs = fc
  .tuple(fc.integer({ min: 1, max: 20 }), fc.constantFrom(1, 1e3, 1e6, 1e9, 6e10))
  .map(([count, unit]) => count * unit);
const word = fc.stringMatching(/^[a-z][\w-]{0,12}$/);
const filter = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).map((text) => text.replace(/[\0\n]/g, '.'));
const condition: fc.Arbitrary<TriggerCondition> = fc.oneof(
  fc.record({
    kind: fc.constant('exit-signal' as const),
    signals: fc.uniqueArray(fc.constantFrom(...FATAL.map((signal) => signalName(signal)!)), { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('exit-status' as const),
    statuses: fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { maxLength: 4 }),
  }),
  fc.record({ kind: fc.constant('stall' as const), thresholdNs: durationNs, isBlockedOnly: fc.boolean() }),
  fc.record({ kind: fc.constant('runqueue' as const), thresholdNs: durationNs }),
  fc.record({
    kind: fc.constant('tracepoint' as const),
    system: word,
    name: word,
    filter: fc.option(filter.map((text) => text.trim()).filter((text) => text !== '')),
  }),
  fc
    .record({
      resource: fc.constantFrom('cpu' as const, 'memory' as const, 'io' as const),
      share: fc.constantFrom('some' as const, 'full' as const),
      thresholdNs: fc.integer({ min: 1, max: 500_000 }).map((us) => us * 1000),
      windowNs: fc.integer({ min: 500_000, max: 10_000_000 }).map((us) => us * 1000),
    })
    .map((psi) => ({ kind: 'psi' as const, ...psi, share: psi.resource === 'cpu' ? ('some' as const) : psi.share })),
);

describe('the condition of a trigger', () => {
  it('is parsed from its own text', () => {
    fc.assert(
      fc.property(condition, (given) => {
        expect(parseTrigger(formatTrigger(given))).toEqual(given);
      }),
    );
  });

  it('is parsed in its various spellings', () => {
    const texts = {
      'exit-signal': { kind: 'exit-signal', signals: [] },
      'exit-signal:segv,SIGABRT,9,34': { kind: 'exit-signal', signals: ['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIG34'] },
      'exit-signal:SEGV,11': { kind: 'exit-signal', signals: ['SIGSEGV'] },
      'exit-status:3, 4': { kind: 'exit-status', statuses: [3, 4] },
      'stall>200ms': { kind: 'stall', thresholdNs: 2e8, isBlockedOnly: false },
      ' off-cpu > 1.5s ': { kind: 'stall', thresholdNs: 1.5e9, isBlockedOnly: false },
      'stall:blocked>200ms': { kind: 'stall', thresholdNs: 2e8, isBlockedOnly: true },
      'runqueue>50ms': { kind: 'runqueue', thresholdNs: 5e7 },
      'tracepoint:sched:sched_process_exit': {
        kind: 'tracepoint',
        system: 'sched',
        name: 'sched_process_exit',
        filter: null,
      },
      'tracepoint:sched:sched_switch/prev_comm ~ "a/b*" && prev_pid > 1/': {
        kind: 'tracepoint',
        system: 'sched',
        name: 'sched_switch',
        filter: 'prev_comm ~ "a/b*" && prev_pid > 1',
      },
      'psi:memory>150ms/1s': { kind: 'psi', resource: 'memory', share: 'some', thresholdNs: 1.5e8, windowNs: 1e9 },
      'psi:io:full>100ms/2s': { kind: 'psi', resource: 'io', share: 'full', thresholdNs: 1e8, windowNs: 2e9 },
    };
    for (const [text, meant] of Object.entries(texts)) expect(parseTrigger(text), text).toEqual(meant);
  });

  it('is refused with a sentence that shows a correct one', () => {
    const wrong = {
      '': 'exit-signal',
      crash: 'exit-signal, exit-status',
      'exit-signals': 'exit-signal, exit-status',
      'exit-signal:': 'exit-signal:SEGV',
      'exit-signal:SEGFAULT': 'SIGSEGV',
      'exit-signal:CHLD': 'SEGV',
      'exit-signal:0': '11',
      'exit-status:256': 'exit-status:3',
      'exit-status:-1': 'exit-status:3',
      stall: 'stall>200ms',
      'stall>200': 'stall>200ms',
      'stall>0ms': 'stall>200ms',
      'stall>1000h': 'stall>200ms',
      'stall:idle>2s': 'stall:blocked>200ms',
      'off-cpu=3s': 'off-cpu>200ms',
      'runqueue:blocked>1s': 'runqueue>50ms',
      'tracepoint:sched': 'tracepoint:sched:sched_process_exit',
      'tracepoint:sched:x/pid == 3': 'nginx*',
      'tracepoint:sched:x/ /': 'nginx*',
      'psi:swap>1ms/1s': 'psi:memory>150ms/1s',
      'psi:memory>150ms': 'psi:memory>150ms/1s',
      'psi:cpu:full>150ms/1s': 'without full',
      'psi:io>150ms/100ms': '500ms to 10s',
      'psi:io>150ms/11s': '500ms to 10s',
      'psi:io>2s/1s': 'psi:io>150ms/1s',
      'psi:io>1500ns/1s': 'microseconds',
    };
    for (const [text, right] of Object.entries(wrong)) {
      expect(() => parseTrigger(text), text).toThrow(
        expect.objectContaining({ code: 'bad-argument', message: expect.stringContaining(right) }),
      );
    }
  });

  it('is parsed, or refused as wrong usage, for any text', () => {
    const parts = [
      'exit-signal',
      'exit-status',
      'stall',
      'psi',
      ':',
      'memory',
      '>',
      '1',
      'ms',
      '/',
      '1s',
      ',',
      ' ',
      'é',
    ];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...parts)), (text) => {
        try {
          parseTrigger(text.join(''));
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad-argument' });
        }
      }),
    );
  });
});

describe('the options of a trigger', () => {
  const stall = parseTrigger('stall>1s');
  const directory = '/tmp/x';

  it('have defaults for all but the directory, and the snapshot goes back as far as the rings do', () => {
    expect(makeTrigger(stall, { directory }).options).toEqual({
      atMost: { count: 1, perMs: 10_000 },
      postMs: 0,
      directory,
      keep: 16,
    });
  });

  it('are refused out of their bounds', () => {
    const wrong = [
      { directory: '' },
      { directory, atMost: { count: 0, perMs: 1 } },
      { directory, atMost: { count: 1, perMs: 0 } },
      { directory, preMs: -1 },
      { directory, postMs: Number.NaN },
      { directory, keep: 0 },
      { directory, keepBytes: 0.5 },
      { directory, pid: 0 },
      { directory, tid: 1.5 },
      { directory, comm: '' },
      { directory, comm: 'a-name-of-more-than-15-bytes' },
    ];
    for (const given of wrong) {
      expect(() => makeTrigger(stall, given), JSON.stringify(given)).toThrow(
        expect.objectContaining({ code: 'bad-argument' }),
      );
    }
    expect(() => makeTrigger(parseTrigger('psi:io>1ms/1s'), { directory, comm: 'a' })).toThrow('whole machine');
  });

  it('have a rate that is parsed from its own text', () => {
    expect(parseRate('3/1m')).toEqual({ count: 3, perMs: 60_000 });
    fc.assert(
      fc.property(fc.nat(1000), durationNs, (count, perNs) => {
        const rate = { count, perMs: perNs / 1e6 };
        expect(parseRate(formatRate(rate))).toEqual(rate);
      }),
    );
    for (const text of ['', '1', '1/', '/1s', '1/s', 'x/1s', '1/10']) {
      expect(() => parseRate(text), text).toThrow(expect.objectContaining({ code: 'bad-argument' }));
    }
  });
});
