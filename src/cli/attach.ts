/** `ringkeep attach`: adds a target to the detached recorder. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { RingkeepError } from '../base/error.ts';
import type { Target } from '../engine/attachment.ts';
import { ownDaemon } from './daemon-access.ts';
import { parseId } from './option-values.ts';
import { print, printJson } from './printing.ts';
import { attachmentText } from './status-text.ts';

interface AttachOptions {
  pid?: number[];
  tid?: number[];
  all?: boolean;
  comm?: string;
  cgroup?: string;
  name?: string;
  json: boolean;
}

const CGROUP_ROOT = '/sys/fs/cgroup';

export function addAttachCommand(program: Command): void {
  program
    .command('attach')
    .description('Record running threads, and every thread and process they start, until `ringkeep rm NAME`.')
    .option('-p, --pid <pid...>', 'processes, with all their threads', collectIds)
    .option('-t, --tid <tid...>', 'single threads', collectIds)
    .option('-a, --all', 'every task on the machine')
    .option('--comm <glob>', 'every process with this name (node*), including those started later')
    .option('--cgroup <path>', 'every process in this cgroup or below it, including those started later')
    .option('--name <name>', 'name of the attachment and of the directory with its event files')
    .option('--json', 'print the attachments as a JSON array', false)
    .action(async (options: AttachOptions) => {
      const targets = targetsOf(options);
      const daemon = ownDaemon();
      const attached = [];
      for (const target of targets) {
        const attachment = await daemon.attach(target, options.name);
        attached.push(attachment);
        // Printed at once: the next target may be refused.
        if (!options.json) print(`${attachmentText(attachment)}\n`);
      }
      if (options.json) printJson(attached);
    });
}

function collectIds(text: string, previous: number[] = []): number[] {
  return [...previous, ...text.split(',').map(parseId)];
}

/** Throws `bad-argument` unless all targets are of one kind, and for a name with several targets. */
function targetsOf({ pid, tid, all, comm, cgroup, name }: AttachOptions): Target[] {
  const kinds: Target[][] = [
    (pid ?? []).map((each) => ({ kind: 'pid', pid: each })),
    (tid ?? []).map((each) => ({ kind: 'tid', tid: each })),
    all ? [{ kind: 'all' }] : [],
    comm === undefined ? [] : [{ kind: 'comm', glob: comm }],
    cgroup === undefined ? [] : [{ kind: 'cgroup', path: cgroupPath(cgroup) }],
  ];
  const given = kinds.filter((targets) => targets.length > 0);
  if (given.length !== 1) {
    throw new RingkeepError('bad-argument', 'attach takes exactly one of -p, -t, -a, --comm and --cgroup', {});
  }
  const targets = given[0]!;
  if (name !== undefined && targets.length > 1) {
    throw new RingkeepError('bad-argument', `--name takes a single target, not ${targets.length}`, { name });
  }
  return targets;
}

/** The directory of a cgroup, given as systemd-cgls and /proc/PID/cgroup print it or as that directory. */
function cgroupPath(path: string): string {
  const absolute = resolve('/', path);
  return absolute === CGROUP_ROOT || absolute.startsWith(`${CGROUP_ROOT}/`) ? absolute : `${CGROUP_ROOT}${absolute}`;
}
