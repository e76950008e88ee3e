/** JSON schemas of request bodies. Invariant: a schema accepts exactly the values of its type. */
import type { Target } from '../engine/attachment.ts';
import type { SnapshotSelection } from '../session/control.ts';
import type { TriggerOptions } from './recorder-api.ts';

export interface AttachBody {
  readonly target: Target;
  readonly name?: string;
}

export interface SnapshotBody {
  readonly selection?: SnapshotSelection;
  readonly output: string;
  /** Whether the snapshot is symbolized; true by default. */
  readonly names?: boolean;
}

export interface TriggerBody {
  readonly on: string;
  readonly options?: TriggerOptions;
}

const id = { type: 'integer', minimum: 1, maximum: 2 ** 22 } as const;
const glob = { type: 'string', minLength: 1, maxLength: 255 } as const;
const absolutePath = { type: 'string', minLength: 2, maxLength: 4095, pattern: '^/[^\\0]*$' } as const;
const milliseconds = { type: 'number', minimum: 0, maximum: 86_400_000 } as const;

function object(required: readonly string[], properties: Readonly<Record<string, object>>) {
  return { type: 'object', required, properties, additionalProperties: false };
}

function target(kind: Target['kind'], properties: Readonly<Record<string, object>>) {
  return object(['kind', ...Object.keys(properties)], { kind: { const: kind }, ...properties });
}

export const ATTACH_BODY = object(['target'], {
  target: {
    type: 'object',
    required: ['kind'],
    discriminator: { propertyName: 'kind' },
    oneOf: [
      target('pid', { pid: id }),
      target('tid', { tid: id }),
      target('all', {}),
      target('comm', { glob }),
      target('cgroup', { path: absolutePath }),
    ],
  },
  // It becomes the name of a directory.
  name: { type: 'string', pattern: '^[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,63}$' },
});

export const SNAPSHOT_BODY = object(['output'], {
  selection: object([], {
    pid: id,
    tid: id,
    comm: glob,
    lastNs: { type: 'number', exclusiveMinimum: 0, maximum: Number.MAX_SAFE_INTEGER },
  }),
  output: absolutePath,
  names: { type: 'boolean' },
});

export const TRIGGER_BODY = object(['on'], {
  on: { type: 'string', minLength: 1, maxLength: 1024 },
  options: object([], {
    comm: glob,
    pid: id,
    tid: id,
    atMost: object(['count', 'perMs'], {
      count: { type: 'integer', minimum: 1, maximum: 1_000_000 },
      perMs: { type: 'number', minimum: 1, maximum: 86_400_000 },
    }),
    preMs: milliseconds,
    postMs: milliseconds,
    directory: absolutePath,
    keep: { type: 'integer', minimum: 1, maximum: 1_000_000 },
    keepBytes: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
  }),
});
