/** What a benchmark starts and leaves behind, so that all of it is gone on every exit: processes, files, networks. */
import { execFile, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };
/** Ticks of `/proc/PID/stat` in one second: fixed for user space on Linux. */
const TICKS_PER_SECOND = 100;
const OUTPUT_BYTES_MAX = 2 ** 24;

export class Workspace {
  folder;
  #children = new Set();
  #cleanUps = [];
  #folders = 0;

  /** @param {string} name part of the folder's name @param {string} [parent] on the disk that is measured */
  constructor(name, parent = tmpdir()) {
    this.folder = mkdtempSync(join(parent, `quorate-${name}-`));
    process.once('exit', () => this.#dispose());
    for (const [signal, code] of Object.entries(SIGNALS)) process.once(signal, () => process.exit(code));
  }

  /** A path below the folder that nobody else has. */
  path(name) {
    this.#folders += 1;
    return join(this.folder, `${this.#folders}-${name}`);
  }

  /** Called at the exit, in reverse order; must not wait for anything. */
  onExit(cleanUp) {
    this.#cleanUps.unshift(cleanUp);
  }

  /** Starts a process whose output goes to the file `log`; `gone` settles when it has ended. */
  spawn(command, args, { log, env = {} }) {
    const output = openSync(log, 'a');
    const child = spawn(command, args, { stdio: ['ignore', output, output], env: { ...process.env, ...env } });
    closeSync(output);
    this.#children.add(child);
    child.gone = new Promise((resolve) => {
      const over = () => {
        this.#children.delete(child);
        resolve();
      };
      child.once('exit', over);
      child.once('error', over);
    });
    return child;
  }

  /** Runs a command to its end; what it prints. Rejects with what it says when it fails. */
  run(command, args) {
    return new Promise((resolve, reject) => {
      const child = execFile(command, args, { maxBuffer: OUTPUT_BYTES_MAX }, (error, stdout, stderr) => {
        this.#children.delete(child);
        if (error === null) resolve(stdout);
        else reject(new Error(`${command}: ${stderr.trim() || error.message}`));
      });
      this.#children.add(child);
    });
  }

  #dispose() {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const cleanUp of this.#cleanUps) cleanUp();
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Ports on loopback that are free now, all different. */
export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

/** User and system time of a process so far, milliseconds. */
export function cpuMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return ((Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND) * 1_000;
}

/** Memory of a process, MiB: now, and the most so far. */
export function memoryMiB(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const of = (name) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { now: of('VmRSS'), peak: of('VmHWM') };
}

/** What a process has written to block devices, bytes, as the kernel counts it. */
export function writtenBytes(pid) {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
}

/** Whether a command is there and runs. */
export function has(command, args) {
  return new Promise((resolve) => execFile(command, args, (error) => resolve(error === null)));
}

/** Asks until the answer is not null. Throws, saying what was waited for, when time is up. */
export async function until(what, ask, timeoutMs = 30_000) {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > endMs) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
