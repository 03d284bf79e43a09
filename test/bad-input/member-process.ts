/** `quorate server` as users start it, with a file of settings; and the folder that it works on. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, chown, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { freePorts } from '../../src/server/free-ports.ts';
import { waitFor } from '../process/wait.ts';
import { cliPath } from '../support/build.ts';

const START_MS = 30_000;
const NOBODY = 65_534;

export interface Ports {
  readonly clientAddress: string;
  readonly peerAddress: string;
}

export async function freeAddresses(): Promise<Ports> {
  const [client, peer] = await freePorts(2);
  return { clientAddress: `127.0.0.1:${client}`, peerAddress: `127.0.0.1:${peer}` };
}

export interface ConfigInit {
  readonly dataDir: string;
  readonly ports: Ports;
  readonly clusterId?: string;
  readonly memberId?: string;
  /** Another member in the list. */
  readonly other?: string;
}

/** A file of settings that is in order; lines may be added to it. */
export function configText({ dataDir, ports, clusterId = 'bad-start', memberId = 'a', other }: ConfigInit): string {
  const more =
    other === undefined ? [] : [`  - {id: ${other}, peerAddress: "127.0.0.1:1", clientAddress: "127.0.0.1:2"}`];
  return [
    `clusterId: ${clusterId}`,
    `memberId: ${memberId}`,
    `dataDir: ${dataDir}`,
    'members:',
    `  - id: ${memberId}`,
    `    peerAddress: ${ports.peerAddress}`,
    `    clientAddress: ${ports.clientAddress}`,
    ...more,
    'wal:',
    `  segmentBytes: ${4 << 20}`,
    '',
  ].join('\n');
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  /** Without the lines of the log, which are JSON. */
  readonly stderr: string;
  readonly log: readonly string[];
}

export class MemberProcess {
  readonly exited: Promise<Ended>;
  readonly #child: ChildProcess;
  #stdout = '';
  #stderr = '';
  #over = false;

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    child.stdin?.on('error', () => undefined);
    this.exited = new Promise((resolve) => {
      child.once('close', (code) => {
        this.#over = true;
        const lines = this.#stderr.split('\n').filter((line) => line !== '');
        const log = lines.filter((line) => line.startsWith('{'));
        const said = lines.filter((line) => !line.startsWith('{'));
        resolve({ code, stdout: this.#stdout, stderr: said.map((line) => `${line}\n`).join(''), log });
      });
    });
  }

  /** `text`: the settings, written to `configPath`. */
  static async start(configPath: string, text: string, as?: Unprivileged): Promise<MemberProcess> {
    await writeFile(configPath, text);
    const [command = '', ...args] = [...(as?.prefix ?? []), process.execPath, cliPath];
    const child = spawn(command, [...args, 'server', '--exit-with-parent', '--config', configPath], {
      stdio: ['pipe', 'pipe', 'pipe'],
      ...as?.ids,
    });
    return new MemberProcess(child);
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** Resolves when it serves; rejects with its last words when it ends before that. */
  async serving(): Promise<void> {
    await waitFor(() => this.#over || this.#stderr.includes('"member started"'), START_MS, 'the member starts');
    if (this.#over) throw new Error(`the member ended: ${this.#stderr}`);
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.#child.kill(signal);
    return this.exited;
  }
}

/** Paths and hashes of all files below `folder`; without the lock's, whose owner leaves a note there. */
export async function contentOf(folder: string, below = ''): Promise<ReadonlyMap<string, string>> {
  const content = new Map<string, string>();
  const names = await readdir(join(folder, below), { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of names.filter((one) => one.isFile())) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (name.startsWith('lock/')) continue;
    content.set(
      name,
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    );
  }
  return new Map([...content].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Who starts a member whose permissions count: root's do not. */
export interface Unprivileged {
  readonly prefix: readonly string[];
  readonly ids: { readonly uid?: number; readonly gid?: number };
  /** Gives `folder` to that user, and takes what `mode` does not grant of `path` in it. */
  restrict(folder: string, path: string, mode: number): Promise<void>;
  /** Takes the restriction back. */
  release(folder: string, path: string): Promise<void>;
}

function runs(prefix: readonly string[], ids: Unprivileged['ids']): Promise<boolean> {
  const [command = '', ...args] = [...prefix, process.execPath, cliPath, '--version'];
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'ignore', ...ids });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/**
 * As this user, where it is not root. As nobody, where nobody may run this build; otherwise as root without the rights
 * that let root pass over permissions (a clone in root's home).
 */
export async function unprivileged(): Promise<Unprivileged> {
  if (process.getuid?.() !== 0) return withModes([], {}, null);
  const nobody = { uid: NOBODY, gid: NOBODY };
  if (await runs([], nobody)) return withModes([], nobody, NOBODY);
  const plain = ['setpriv', '--bounding-set', '-dac_override,-dac_read_search'];
  if (await runs(plain, {})) return withModes(plain, {}, null);
  throw new Error(
    'cannot run without the rights of root: neither as uid 65534 nor with setpriv. Run the tests as another user.',
  );
}

function withModes(prefix: readonly string[], ids: Unprivileged['ids'], owner: number | null): Unprivileged {
  return {
    prefix,
    ids,
    async restrict(folder, path, mode) {
      // The way there: temporary folders are made for their owner alone.
      await chmod(dirname(folder), 0o755);
      const names = await readdir(folder, { recursive: true });
      if (owner !== null) for (const name of ['.', ...names]) await chown(join(folder, name), owner, owner);
      await chmod(join(folder, path), mode);
    },
    async release(folder, path) {
      const full = join(folder, path);
      await chmod(full, 0o755);
      if ((await stat(full)).isFile()) await chmod(full, 0o644);
    },
  };
}
