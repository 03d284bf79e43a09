/**
 * What a run that was killed has left behind, found by its name and removed. One that still runs is left alone, and so is whatever
 * belongs to another user or has another kind of name. Processes are told apart by their ids: two containers that share a network or
 * a folder for temporary files, but not their processes, must not do this at the same time.
 */
import { existsSync, lstatSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execNow } from './exec.ts';
import { makerOf } from './names.ts';

/**
 * To be called before this process has made anything: what has its id in its name is of one that had the id before. Returns lines that
 * say what was removed.
 */
export function removeLeftovers(): readonly string[] {
  return remove((pid) => pid === process.pid || !existsSync(`/proc/${pid}`));
}

/** On the way out: whatever this process has made, also where it had not come far. */
export function removeOwn(): void {
  remove((pid) => pid === process.pid);
}

function remove(isOver: (pid: number) => boolean): readonly string[] {
  const removed: string[] = [];
  const isMeant = (name: string): boolean => {
    const pid = makerOf(name);
    return pid !== null && isOver(pid);
  };
  // Only root has namespaces and links.
  if (process.getuid?.() === 0) removed.push(...removeNetworks(isMeant));
  return [...removed, ...removeFolders(tmpdir(), isMeant)];
}

/** With the members that still run there, and what is mounted. */
export function removeFolders(parent: string, isMeant: (name: string) => boolean): readonly string[] {
  const removed: string[] = [];
  for (const name of readdirSync(parent).filter(isMeant)) {
    const path = join(parent, name);
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== true || stat.uid !== process.getuid?.()) continue;
    removeFolder(path);
    removed.push(`folder ${path}`);
  }
  return removed;
}

function removeNetworks(isMeant: (name: string) => boolean): readonly string[] {
  const removed: string[] = [];
  for (const namespace of linesOf(execNow(['ip', 'netns', 'list']))) {
    const name = namespace.split(' ')[0] ?? '';
    if (!isMeant(name)) continue;
    // A member that was paused does not notice that its parent has ended.
    for (const pid of linesOf(execNow(['ip', 'netns', 'pids', name]))) execNow(['kill', '-KILL', pid]);
    execNow(['ip', 'netns', 'del', name]);
    removed.push(`namespace ${name}`);
  }
  for (const line of linesOf(execNow(['ip', '-o', 'link', 'show']))) {
    const name = /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '';
    if (!isMeant(name)) continue;
    execNow(['ip', 'link', 'del', name]);
    removed.push(`link ${name}`);
  }
  return removed;
}

function removeFolder(folder: string): void {
  for (const pid of membersIn(folder)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  for (const mountPoint of mountsIn(realpathSync(folder))) execNow(['umount', '-l', mountPoint]);
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    // Somebody holds on to it; the next run tries again.
  }
}

/** Members whose data is there, those that were paused on loopback included. */
function membersIn(folder: string): readonly number[] {
  if (!existsSync('/proc')) return [];
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    let args: readonly string[];
    try {
      args = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0');
    } catch {
      return [];
    }
    const dataDir = args[args.indexOf('--data-dir') + 1] ?? '';
    return args.includes('--exit-with-parent') && dataDir.startsWith(`${folder}/`) ? [Number(name)] : [];
  });
}

function mountsIn(folder: string): readonly string[] {
  if (!existsSync('/proc/mounts')) return [];
  const points = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => (line.split(' ')[1] ?? '').replace(/\\([0-7]{3})/g, (_, octal) => unescaped(octal)));
  return points.filter((point) => point.startsWith(`${folder}/`));
}

/** Blanks and the like are written as their octal numbers there. */
function unescaped(octal: string): string {
  return String.fromCharCode(Number.parseInt(octal, 8));
}

function linesOf(text: string | null): readonly string[] {
  return (text ?? '').split('\n').filter((line) => line.trim() !== '');
}
