/** What a run that was killed has left behind, found by its name and removed. One that still runs is left alone. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execNow } from './exec.ts';
import { FOLDER_PREFIX, NAME } from './names.ts';

/** Lines that say what was removed. */
export function removeLeftovers(): readonly string[] {
  const removed: string[] = [];
  for (const namespace of linesOf(execNow(['ip', 'netns', 'list']))) {
    const name = namespace.split(' ')[0] ?? '';
    if (!isStale(NAME.exec(name)?.[1])) continue;
    // A member that was paused does not notice that its parent has ended.
    for (const pid of linesOf(execNow(['ip', 'netns', 'pids', name]))) execNow(['kill', '-KILL', pid]);
    execNow(['ip', 'netns', 'del', name]);
    removed.push(`namespace ${name}`);
  }
  for (const line of linesOf(execNow(['ip', '-o', 'link', 'show']))) {
    const name = /^\d+: ([^:@]+)/.exec(line)?.[1] ?? '';
    if (!isStale(NAME.exec(name)?.[1])) continue;
    execNow(['ip', 'link', 'del', name]);
    removed.push(`link ${name}`);
  }
  for (const folder of readdirSync(tmpdir()).filter((name) => name.startsWith(FOLDER_PREFIX))) {
    if (!isStale(/^(\d+)-/.exec(folder.slice(FOLDER_PREFIX.length))?.[1])) continue;
    const path = join(tmpdir(), folder);
    for (const mountPoint of mountsIn(path)) execNow(['umount', '-l', mountPoint]);
    rmSync(path, { recursive: true, force: true });
    removed.push(`folder ${path}`);
  }
  return removed;
}

function mountsIn(folder: string): readonly string[] {
  if (!existsSync('/proc/mounts')) return [];
  const points = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '');
  return points.filter((point) => point.startsWith(`${folder}/`));
}

/** The process that the name tells has ended. */
function isStale(pid: string | undefined): boolean {
  return pid !== undefined && pid !== String(process.pid) && !existsSync(`/proc/${pid}`);
}

function linesOf(text: string | null): readonly string[] {
  return (text ?? '').split('\n').filter((line) => line.trim() !== '');
}
