/** The facts about its machine that a snapshot carries. Facts that the machine hides are left out, never invented. */
import { readFileSync } from 'node:fs';
import { arch, hostname, machine, release, totalmem } from 'node:os';

/** The header features that describe a host. */
export interface SnapshotHost {
  readonly hostname: string;
  /** uname -r. */
  readonly osrelease: string;
  /** uname -m. */
  readonly arch: string;
  readonly cpusAvailable: number;
  readonly cpusOnline: number;
  /** The recorder's name and version, `ringkeep 0.1.0`. */
  readonly version: string;
  readonly cpuDescription?: string;
  /** `vendor,family,model,stepping` on x86, as perf writes it. */
  readonly cpuId?: string;
  readonly totalMemoryKiB?: number;
}

/** Reads this machine's facts. `version` defaults to that of ringkeep's package.json. */
export function readHost(version = `ringkeep ${packageVersion()}`): SnapshotHost {
  const present = readText('/sys/devices/system/cpu/present');
  const online = readText('/sys/devices/system/cpu/online');
  const cpuinfo = readText('/proc/cpuinfo') ?? '';
  return {
    hostname: hostname(),
    osrelease: release(),
    arch: machine(),
    cpusAvailable: Math.max(1, ...cpuList(present).map((cpu) => cpu + 1)),
    cpusOnline: Math.max(1, cpuList(online).length),
    version,
    totalMemoryKiB: Math.floor(totalmem() / 1024),
    ...cpuFacts(cpuinfo),
  };
}

/** The CPU numbers of a sysfs list such as `0-3,8`; empty when the text is not a list. */
export function cpuList(text: string | undefined): number[] {
  const cpus: number[] = [];
  for (const range of (text ?? '').trim().split(',')) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(range);
    if (!match) continue;
    const first = Number(match[1]);
    const last = Number(match[2] ?? first);
    for (let cpu = first; cpu <= last; cpu++) cpus.push(cpu);
  }
  return cpus;
}

function cpuFacts(cpuinfo: string): { cpuDescription?: string; cpuId?: string } {
  const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuinfo)?.[1];
  const description = field('model name');
  const x86Id = [field('vendor_id'), field('cpu family'), field('model'), field('stepping')];
  return {
    ...(description === undefined ? {} : { cpuDescription: description }),
    ...(arch() !== 'x64' || x86Id.includes(undefined) ? {} : { cpuId: x86Id.join(',') }),
  };
}

/** The root of the package is two directories above both src/snapshot and dist/snapshot. */
function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: unknown }).version);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // sysfs and procfs may be masked in a container: the fact is unknown then.
    return undefined;
  }
}
