/** Processes of a demo under test. */
import { execFileSync } from 'node:child_process';

/** Ids of the processes that one has started. `ps` itself is none of them: it is started by the test. */
export function processesBelow(pid: number): number[] {
  return execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
    .trim()
    .split(/\s+/)
    .map(Number);
}
