/**
 * The outside world: it counts what is done and undone, and writes every call down. Doing is not made idempotent here, on purpose:
 * that a key is done once is the promise of the cluster's ledger. Undoing is, as docs/compensators.md asks of a receiver: a stale
 * token is refused, and the same key is undone once. What was undone before it was done is not done any more: only the receiver can
 * know, where the one who does it was held up on the way.
 */
import { createWriteStream, type WriteStream } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { RunClock } from '../record/history.ts';

const BODY_BYTES_MAX = 64 * 1024;

interface UndoCall {
  readonly key: string;
  readonly token: number;
  readonly attempt: number;
  readonly loop: string;
  readonly phase: string;
}

export class CountingServer {
  readonly #server: Server;
  readonly #out: WriteStream;
  readonly #clock: RunClock;
  readonly #host: string;
  readonly #undone = new Set<string>();
  /** Highest token of a recovery, by loop and phase. */
  readonly #tokens = new Map<string, number>();

  private constructor(host: string, dir: string, clock: RunClock) {
    this.#host = host;
    this.#clock = clock;
    this.#out = createWriteStream(join(dir, 'effects-server.ndjson'));
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(() => response.destroy());
    });
  }

  static async start(host: string, dir: string, clock: RunClock): Promise<CountingServer> {
    const server = new CountingServer(host, dir, clock);
    await new Promise<void>((resolve, reject) => {
      server.#server.once('error', reject);
      server.#server.listen(0, host, resolve);
    });
    return server;
  }

  get url(): string {
    return `http://${this.#host}:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does the effect, and counts it. */
  async act(key: string, token: number): Promise<void> {
    const response = await fetch(`${this.url}/do`, { method: 'POST', body: JSON.stringify({ key, token }) });
    if (!response.ok) throw new Error(`the counting server answered ${response.status}`);
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
    await new Promise<void>((resolve) => this.#out.end(() => resolve()));
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = JSON.parse(await textOf(request)) as UndoCall;
    if (request.url === '/do') {
      const late = this.#undone.has(body.key);
      this.#note('do', body.key, body.token, 1, !late, `do ${body.key}`);
      return send(response, late ? 409 : 200);
    }
    const { key, token, attempt, loop, phase } = body;
    const lock = `undo ${loop} ${phase}`;
    if (token < (this.#tokens.get(lock) ?? 0)) {
      this.#note('undo', key, token, attempt, false, lock);
      return send(response, 409);
    }
    this.#tokens.set(lock, token);
    const first = !this.#undone.has(key);
    this.#undone.add(key);
    this.#note('undo', key, token, attempt, first, lock);
    return send(response, 200);
  }

  /** `scope`: within which tokens are compared. */
  #note(kind: 'do' | 'undo', key: string, token: number, attempt: number, accepted: boolean, scope: string): void {
    const line = { time: this.#clock.nowNs(), key, token, attempt, accepted, kind, scope };
    this.#out.write(`${JSON.stringify(line)}\n`);
  }
}

async function textOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) throw new Error('too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function send(response: ServerResponse, status: number): void {
  const text = JSON.stringify({ status });
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
