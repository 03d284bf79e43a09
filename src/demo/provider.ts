/**
 * The outside world of the recovery demo and of the tests: an HTTP server that makes things, and unmakes them when a compensator
 * asks. It does what docs/compensators.md asks of a receiver: the same key has effect once, and a token lower than the highest
 * seen for a phase is refused. It writes down every call, so that what happened can be told from what was recorded.
 *
 *   POST /things      { key, name }                 makes a thing; the same key again changes nothing
 *   POST /compensate  the call of a compensator     unmakes the thing of the key
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const BODY_BYTES_MAX = 256 * 1024;

export interface ProviderCall {
  readonly kind: 'make' | 'unmake';
  readonly key: string;
  /** Fencing token of the recovery; 0 for `make`. */
  readonly token: number;
  /** Of the compensator, from 1. */
  readonly attempt: number;
  /** done: had effect. again: the key had its effect before, or there was nothing to undo. */
  readonly outcome: 'done' | 'again' | 'stale' | 'down';
  /** Milliseconds since the epoch. */
  readonly atMs: number;
}

interface CompensateCall {
  readonly key: string;
  readonly token: number;
  readonly attempt: number;
  readonly loop: string;
  readonly phase: string;
}

export class Provider {
  readonly #server: Server;
  readonly #things = new Map<string, string>();
  readonly #unmade = new Set<string>();
  readonly #tokens = new Map<string, number>();
  readonly #calls: ProviderCall[] = [];
  readonly #listeners = new Set<(call: ProviderCall) => void>();
  #hold: Promise<void> = Promise.resolve();
  #arrivals: (() => void)[] = [];
  /** What the next call waits for, and no other. */
  #holdNext: Promise<void> | null = null;
  #down = false;

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        send(response, 500, { error: error instanceof Error ? error.message : String(error) });
      });
    });
  }

  static async start(): Promise<Provider> {
    const provider = new Provider();
    await new Promise<void>((resolve, reject) => {
      provider.#server.once('error', reject);
      provider.#server.listen(0, '127.0.0.1', resolve);
    });
    return provider;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Names of the things that there are, sorted. */
  get things(): readonly string[] {
    return [...this.#things.values()].sort();
  }

  /** All calls so far, in the order in which they were answered. */
  get calls(): readonly ProviderCall[] {
    return this.#calls;
  }

  /** While true every call of a compensator is answered with 503. */
  set down(down: boolean) {
    this.#down = down;
  }

  /** Calls of compensators wait for it before anything is looked at: somebody may be killed meanwhile. */
  set hold(until: Promise<void>) {
    this.#hold = until;
  }

  /** The next call of a compensator waits until what this returns is called; those after it do not. */
  holdNext(): () => void {
    let release: () => void = () => undefined;
    this.#holdNext = new Promise((resolve) => {
      release = resolve;
    });
    return release;
  }

  /** Resolves when the next call of a compensator has arrived, whether or not it is held. */
  arrival(): Promise<void> {
    return new Promise((resolve) => this.#arrivals.push(resolve));
  }

  /** Resolves with the first call that fits, one that was answered already included. */
  call(fits: (call: ProviderCall) => boolean): Promise<ProviderCall> {
    const known = this.#calls.find(fits);
    if (known !== undefined) return Promise.resolve(known);
    return new Promise((resolve) => {
      const listener = (call: ProviderCall): void => {
        if (!fits(call)) return;
        this.#listeners.delete(listener);
        resolve(call);
      };
      this.#listeners.add(listener);
    });
  }

  async stop(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request);
    if (request.method !== 'POST' || body === null) return send(response, 400, { error: 'POST a JSON object' });
    if (request.url === '/things') return this.#make(response, body as { key: string; name: string });
    if (request.url !== '/compensate') return send(response, 404, { error: 'POST /things or /compensate' });
    for (const arrived of this.#arrivals.splice(0)) arrived();
    const held = this.#holdNext;
    this.#holdNext = null;
    await held;
    await this.#hold;
    this.#unmake(response, body as unknown as CompensateCall);
  }

  #make(response: ServerResponse, { key, name }: { readonly key: string; readonly name: string }): void {
    const known = this.#things.has(key) || this.#unmade.has(key);
    if (!known) this.#things.set(key, name);
    this.#note({ kind: 'make', key, token: 0, attempt: 1, outcome: known ? 'again' : 'done' });
    send(response, 200, { made: !known });
  }

  #unmake(response: ServerResponse, { key, token, attempt, loop, phase }: CompensateCall): void {
    const call = { kind: 'unmake', key, token, attempt } as const;
    if (this.#down) {
      this.#note({ ...call, outcome: 'down' });
      send(response, 503, { error: 'down for maintenance' });
      return;
    }
    const lock = `${loop} ${phase}`;
    const highest = this.#tokens.get(lock) ?? 0;
    if (token < highest) {
      this.#note({ ...call, outcome: 'stale' });
      send(response, 409, { stale: true, highest });
      return;
    }
    this.#tokens.set(lock, token);
    const there = this.#things.delete(key);
    this.#unmade.add(key);
    this.#note({ ...call, outcome: there ? 'done' : 'again' });
    send(response, 200, { unmade: there });
  }

  #note(call: Omit<ProviderCall, 'atMs'>): void {
    const noted = { ...call, atMs: Date.now() };
    this.#calls.push(noted);
    for (const listener of [...this.#listeners]) listener(noted);
  }
}

async function bodyOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>> | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.byteLength;
    if (bytes > BODY_BYTES_MAX) return null;
    chunks.push(chunk);
  }
  try {
    const parsed: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    return typeof parsed === 'object' && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

function send(response: ServerResponse, status: number, body: unknown): void {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}
