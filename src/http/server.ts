/**
 * The member's HTTP port: a few routes for operators and their tools. Everything that a client may do to it is bounded: the size
 * of what it sends, how long it may take for it, how many may be there at once.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, isIPv6 } from 'node:net';
import {
  HTTP_BODY_BYTES_MAX,
  HTTP_CONNECTIONS_MAX,
  HTTP_HEADER_BYTES_MAX,
  HTTP_REQUEST_MS_MAX,
} from '../types/limits.ts';

export type HttpMethod = 'GET' | 'POST' | 'PUT' | 'DELETE';

export interface HttpRequest {
  readonly method: HttpMethod;
  /** Without the query, as it was sent. */
  readonly path: string;
  /** Parts of the path that the pattern names, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** At most HTTP_BODY_BYTES_MAX. */
  readonly body: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** Content type; default: plain text. */
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export type HttpHandler = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

interface Route {
  readonly method: HttpMethod;
  /** As in `/override/<trace_id>`; a part in angle brackets takes any one part of a path. */
  readonly pattern: string;
  readonly parts: readonly string[];
  readonly summary: string;
  readonly handler: HttpHandler;
}

export interface HttpServerOptions {
  /** A handler threw: a bug of this process. The client was told 500. */
  readonly onError: (error: unknown) => void;
  /** Longest time for a whole request to arrive, and of silence of a connection, milliseconds; default HTTP_REQUEST_MS_MAX. */
  readonly requestMs?: number;
}

const TEXT = 'text/plain; charset=utf-8';

export class HttpServer {
  readonly #server: Server;
  readonly #routes: Route[] = [];
  readonly #options: HttpServerOptions;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const requestMs = options.requestMs ?? HTTP_REQUEST_MS_MAX;
    this.#server = createServer(
      {
        maxHeaderSize: HTTP_HEADER_BYTES_MAX,
        requestTimeout: requestMs,
        headersTimeout: requestMs,
        keepAliveTimeout: requestMs,
        connectionsCheckingInterval: Math.max(10, Math.floor(requestMs / 4)),
      },
      (request, response) => void this.#serve(request, response),
    );
    this.#server.maxConnections = HTTP_CONNECTIONS_MAX;
    // Who does not read its answer is cut off as well.
    this.#server.setTimeout(requestMs);
  }

  /** `summary` is shown to whoever asks for something that is not there. Routes are tried in the order in which they came. */
  route(method: HttpMethod, pattern: string, handler: HttpHandler, summary = ''): void {
    this.#routes.push({ method, pattern, parts: partsOf(pattern), summary, handler });
  }

  /** Rejects with the system's error. Resolves to where it listens, host:port: port 0 lets the system choose. */
  listen(address: string): Promise<string> {
    const at = address.lastIndexOf(':');
    const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ host, port: Number(address.slice(at + 1)) }, () => {
        this.#server.off('error', reject);
        const { port } = this.#server.address() as AddressInfo;
        resolve(isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`);
      });
    });
  }

  /** Cuts off whoever is connected. Idempotent. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: HttpAnswer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      if (request.destroyed && !request.complete) return;
      this.#options.onError(error);
      answer = { status: 500, body: 'a bug of this member; its log says more\n' };
    }
    const bytes = Buffer.from(answer.body, 'utf8');
    response.writeHead(answer.status, {
      'content-type': answer.type ?? TEXT,
      'content-length': bytes.length,
      'cache-control': 'no-store',
      // What was not read of a body is not waited for.
      ...(request.complete ? {} : { connection: 'close' }),
      ...answer.headers,
    });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  async #answer(request: IncomingMessage): Promise<HttpAnswer> {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2);
    const asked = request.method === 'HEAD' ? 'GET' : request.method;
    const found = this.#routes
      .map((route) => ({ route, params: match(route.parts, partsOf(path)) }))
      .filter((one): one is { route: Route; params: Record<string, string> } => one.params !== null);
    if (found.length === 0)
      return { status: 404, body: `there is no ${shown(path)} here; there is:\n${this.#index()}` };
    const hit = found.find(({ route }) => route.method === asked);
    if (hit === undefined) {
      const allow = [...new Set(found.map(({ route }) => route.method))].join(', ');
      return { status: 405, body: `${shown(path)} takes ${allow}\n`, headers: { allow } };
    }
    const body = await bodyOf(request);
    if (body === null) return { status: 413, body: `a body has at most ${HTTP_BODY_BYTES_MAX} bytes here\n` };
    const { method } = hit.route;
    const { headers } = request;
    return hit.route.handler({ method, path, params: hit.params, query: new URLSearchParams(query), headers, body });
  }

  #index(): string {
    return this.#routes
      .map(({ method, pattern, summary }) => `${method} ${pattern}${summary === '' ? '' : `  ${summary}`}\n`)
      .join('');
  }
}

/** What a client sent is not repeated at any length, nor with control characters. */
function shown(path: string): string {
  const text = path.replaceAll(/[^\x21-\x7e]/g, '?');
  return text.length > 100 ? `${text.slice(0, 97)}...` : text;
}

function partsOf(path: string): readonly string[] {
  return path.split('/').slice(1);
}

/** null: the path does not fit. A part that cannot be decoded fits nothing. */
function match(pattern: readonly string[], path: readonly string[]): Record<string, string> | null {
  if (pattern.length !== path.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of pattern.entries()) {
    const given = path[i] ?? '';
    const name = /^<(\w+)>$/.exec(part)?.[1];
    if (name === undefined) {
      if (part !== given) return null;
      continue;
    }
    try {
      params[name] = decodeURIComponent(given);
    } catch {
      return null;
    }
    if (params[name] === '') return null;
  }
  return params;
}

/** null: it is too large; the rest is not read. Rejects when the client goes away. */
async function bodyOf(request: IncomingMessage): Promise<Uint8Array | null> {
  if (Number(request.headers['content-length'] ?? 0) > HTTP_BODY_BYTES_MAX) return null;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > HTTP_BODY_BYTES_MAX) {
        request.pause();
        request.removeAllListeners('data');
        resolve(null);
      } else chunks.push(chunk);
    });
    request.on('end', () => resolve(new Uint8Array(Buffer.concat(chunks))));
    request.on('error', reject);
    request.on('close', () => reject(new Error('the client went away')));
  });
}
