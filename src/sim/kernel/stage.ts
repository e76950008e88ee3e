/**
 * What the simulation and the scripts of its tasks share: the actors, their positions, and what they work on.
 *
 * Invariant: it changes only within a step.
 */
import type { Operation, Step } from '../../protocol/step.ts';
import type { Variant } from '../../protocol/variant.ts';
import type { Kernel } from './kernel.ts';
import type { KernelTask } from './kernel-task.ts';
import type { Observers } from './observers.ts';
import type { Setup } from './setup.ts';

export interface Actor {
  readonly name: string;
  readonly kind: 'task' | 'cpu' | 'other';
  /** The task's number from 1, or the CPU. */
  readonly number: number;
  operation: Operation<unknown>;
  step: Step | undefined;
  a: number;
  b: number;
  /** Interrupts or preemption off, so many times. */
  atomic: number;
  finished: boolean;
  /** The task wants off its CPU before its next step. */
  yields: boolean;
  /** It has slept at its present step. */
  slept: boolean;
  /** The results of all its steps, folded: with the setup, where it stands. */
  history: number;
}

/** A task's own side of the simulation. */
export interface Scheduled {
  readonly actor: Actor;
  readonly info: KernelTask;
  /** Its events, in the order they are scheduled in. */
  events: number[];
  isBorn: boolean;
}

export interface Cpu {
  current: number;
  readonly queue: number[];
  /** The two tasks of the switch under way; none: undefined. */
  switching: readonly [number, number] | undefined;
  preemptions: number;
  isOnline: boolean;
}

export interface Stage {
  readonly setup: Setup;
  readonly kernel: Kernel;
  readonly variant: Variant;
  readonly observers: Observers;
  /** By number, from 1. */
  readonly tasks: ReadonlyMap<number, Scheduled>;
  readonly cpus: readonly Cpu[];
  /** The numbers of the setup's events, by name. */
  readonly events: Map<string, number>;
  /**
   * Names of a child's events that it was not given: its parent's were gone, or there was no room. Script lines about
   * them do nothing.
   */
  readonly unrecorded: Set<string>;
  /** The number of an event. */
  event(name: string): number;
}
