/** Default names of attachments, and the condition for a name and target to be attached. */
import { RingkeepError } from '../base/error.ts';
import { type Attachment, isAttachmentName, type Target } from '../engine/attachment.ts';

/** In characters. */
const LONGEST_NAME = 64;

type Attachments = ReadonlyMap<string, Attachment>;

/**
 * The target as the name of a directory, with a number appended where another target has that name: `zzz*` and `zzz?`
 * give the same. The same target again gets its old name, which is refused as taken.
 */
export function defaultName(target: Target, attachments: Attachments): string {
  const text = textOf(target);
  const name = text.replaceAll(/[^\w.@:+-]+/g, '_');
  for (let number = 1; ; number++) {
    const ending = number === 1 ? '' : `-${number}`;
    const free = name.slice(0, LONGEST_NAME - ending.length) + ending;
    const other = attachments.get(free);
    if (!other || textOf(other.target) === text) return free;
  }
}

/** Throws `bad-argument` for a name that cannot be a directory's, `already-attached`. */
export function requireFree(target: Target, name: string, attachments: Attachments): void {
  if (!isAttachmentName(name)) {
    throw new RingkeepError(
      'bad-argument',
      `"${name}" is not a valid name of an attachment: it must be valid as the name of a directory`,
      {
        name,
      },
    );
  }
  const holder = attachments.get(name);
  if (holder) {
    const details = textOf(holder.target) === textOf(target) ? { name } : { name, option: '--name' };
    throw new RingkeepError('already-attached', `the name "${name}" is already in use by an attachment`, details);
  }
  const others = [...attachments.values()];
  const all = others.find((other) => other.target.kind === 'all');
  const other = target.kind === 'all' ? others[0] : all;
  if (!other) return;
  const why = all ? 'every task is already recorded' : 'some tasks are already recorded, and would be recorded twice';
  throw new RingkeepError('already-attached', `${why}, by the attachment "${other.name}"`, { name: other.name });
}

function textOf(target: Target): string {
  switch (target.kind) {
    case 'pid':
      return `pid-${target.pid}`;
    case 'tid':
      return `tid-${target.tid}`;
    case 'comm':
      return `comm-${target.glob}`;
    case 'cgroup':
      return `cgroup-${target.path}`;
    case 'all':
      return 'all';
  }
}
