import { describe, expect, test } from 'vitest';
import type { StackFrame } from '../perf-data/stack.ts';
import { placesOf } from './wait-text.ts';

function frame(fields: Partial<StackFrame>): StackFrame {
  const file = fields.isKernel ? '[kernel.kallsyms]_text' : '/usr/lib/libc.so.6';
  return {
    address: '0x1',
    file,
    fileOffset: '0x1',
    isKernel: false,
    name: null,
    nameOffset: 0,
    symbol: null,
    source: null,
    ...fields,
  };
}

const kernel = (name: string | null) => frame({ isKernel: true, fileOffset: null, name });

describe('a stack in one line', () => {
  test('names the kernel function that waits, not those of the scheduler', () => {
    const frames = ['__schedule', 'schedule', 'do_nanosleep', 'hrtimer_nanosleep', 'do_syscall_64'].map(kernel);
    expect(placesOf([...frames, frame({ name: 'nanosleep' })])).toEqual(['hrtimer_nanosleep', 'nanosleep']);
  });

  test('of interrupted code is that code', () => {
    const frames = ['schedule', 'irqentry_exit_to_user_mode', 'asm_sysvec_apic_timer_interrupt'].map(kernel);
    expect(placesOf([...frames, frame({ name: 'spin' })])).toEqual(['spin']);
  });

  test('of the kernel alone is all of its places', () => {
    expect(placesOf(['schedule', 'worker_thread', 'kthread'].map(kernel))).toEqual(['worker_thread', 'kthread']);
    expect(placesOf([kernel('schedule')])).toEqual(['schedule']);
  });

  test('says [kernel] where the kernel’s functions have no names', () => {
    expect(placesOf([kernel(null), kernel(null), frame({ name: 'read' })])).toEqual(['[kernel]', 'read']);
  });

  test('leaves out addresses in no file, unless there is nothing else', () => {
    const nowhere = frame({ file: null, fileOffset: null, address: '0xbebc200' });
    expect(placesOf([frame({ name: 'read' }), nowhere])).toEqual(['read']);
    expect(placesOf([nowhere])).toEqual(['[unknown]+0xbebc200']);
  });
});
