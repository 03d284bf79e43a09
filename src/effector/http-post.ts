/**
 * One HTTP(S) POST with a deadline over all of it: name look-up, connection, request, and the last byte of the answer. Redirects
 * are not followed (the body carries a token, and goes where it was registered to go and nowhere else), nor is a proxy of the
 * environment used. Each request has a connection of its own: calls are rare, and a connection that was kept might be dead.
 */
import { type ClientRequest, type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { ANSWER_BYTES_MAX, errorText } from './hook.ts';

/** Certificates for hooks and webhooks, PEM. */
export interface HookTls {
  /** Whom to trust; null: what the system trusts. */
  readonly ca: Buffer | null;
  /** Who this member is (mutual TLS); null: nobody in particular. */
  readonly identity: { readonly cert: Buffer; readonly key: Buffer } | null;
}

export interface Post {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

export type PostAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: string }
  | { readonly kind: 'failed'; readonly error: string };

/** Never rejects. */
export type PostJson = (post: Post) => Promise<PostAnswer>;

export function httpPost(tls: HookTls): PostJson {
  return (post) => new Promise((resolve) => new Exchange(post, resolve).start(tls));
}

/** null: not an absolute http or https URL. */
export function webUrl(text: string): URL | null {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url !== null && (url.protocol === 'https:' || url.protocol === 'http:') ? url : null;
}

class Exchange {
  readonly #post: Post;
  readonly #resolve: (answer: PostAnswer) => void;
  #request: ClientRequest | null = null;
  #timer: NodeJS.Timeout | null = null;
  #over = false;

  constructor(post: Post, resolve: (answer: PostAnswer) => void) {
    this.#post = post;
    this.#resolve = resolve;
  }

  start(tls: HookTls): void {
    const { deadlineMs, signal } = this.#post;
    this.#timer = setTimeout(() => this.#fail(`no complete answer within ${deadlineMs} ms`), deadlineMs);
    signal.addEventListener('abort', this.#onAbort, { once: true });
    if (signal.aborted) {
      this.#onAbort();
      return;
    }
    try {
      this.#send(tls);
    } catch (error) {
      // A header or a URL that Node does not take.
      this.#fail(messageOf(error));
    }
  }

  readonly #onAbort = (): void => this.#fail('the call was given up: the member stops');

  #send(tls: HookTls): void {
    const url = webUrl(this.#post.url);
    if (url === null) {
      this.#fail(`not an http or https URL: ${this.#post.url}`);
      return;
    }
    const body = Buffer.from(this.#post.body, 'utf8');
    const headers = {
      ...this.#post.headers,
      'content-type': 'application/json',
      'content-length': String(body.length),
      connection: 'close',
    };
    const options = { method: 'POST', headers, agent: false } as const;
    const request =
      url.protocol === 'https:' ? requestHttps(url, { ...options, ...tlsOptions(tls) }) : requestHttp(url, options);
    this.#request = request;
    request.on('error', (error) => this.#fail(messageOf(error)));
    request.on('response', (response) => this.#receive(response));
    request.on('close', () => this.#fail('the connection was closed without an answer'));
    request.end(body);
  }

  #receive(response: IncomingMessage): void {
    const status = response.statusCode ?? 0;
    const pieces: Buffer[] = [];
    let bytes = 0;
    response.on('error', (error) => this.#fail(messageOf(error)));
    response.on('aborted', () => this.#fail('the connection broke in the middle of the answer'));
    response.on('data', (piece: Buffer) => {
      bytes += piece.length;
      pieces.push(piece);
      if (bytes > ANSWER_BYTES_MAX) this.#fail(`the answer is larger than ${ANSWER_BYTES_MAX} bytes`);
    });
    response.on('end', () => {
      const body = Buffer.concat(pieces).toString('utf8');
      if (response.complete) this.#finish({ kind: 'answered', status, body });
      else this.#fail('the connection broke in the middle of the answer');
    });
  }

  #fail(error: string): void {
    this.#finish({ kind: 'failed', error: errorText(error) });
  }

  #finish(answer: PostAnswer): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#post.signal.removeEventListener('abort', this.#onAbort);
    this.#request?.destroy();
    this.#resolve(answer);
  }
}

function tlsOptions({ ca, identity }: HookTls): { ca?: Buffer; cert?: Buffer; key?: Buffer } {
  return { ...(ca === null ? {} : { ca }), ...identity };
}

/** A connection that failed at several addresses has an AggregateError without a message. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
