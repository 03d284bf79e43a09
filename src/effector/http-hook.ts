/** Compensators behind HTTP (L2): POST of a JSON object, as docs/compensators.md describes it. */
import { createHmac } from 'node:crypto';
import { type CallOutcome, type CompensationCall, failed, type Hook } from './hook.ts';
import type { PostAnswer, PostJson } from './http-post.ts';

/** Characters that a header takes as they are. */
const VISIBLE = /^[\x21-\x7e]+$/;

export class HttpHook implements Hook {
  readonly #post: PostJson;
  /** null: calls are not signed. */
  readonly #secret: Buffer | null;

  constructor(post: PostJson, secret: Buffer | null) {
    this.#post = post;
    this.#secret = secret;
  }

  async call(call: CompensationCall, signal: AbortSignal): Promise<CallOutcome> {
    const { target, ...fields } = call;
    const body = JSON.stringify(fields);
    const headers: Record<string, string> = {
      'idempotency-key': headerText(call.key),
      'x-quorate-token': String(call.token),
      ...this.#signature(body),
    };
    return outcomeOf(await this.#post({ url: target, headers, body, deadlineMs: call.deadlineMs, signal }));
  }

  #signature(body: string): Record<string, string> {
    if (this.#secret === null) return {};
    return { 'x-quorate-signature': `sha256=${createHmac('sha256', this.#secret).update(body, 'utf8').digest('hex')}` };
  }
}

/** The body has the text as it is. */
export function headerText(text: string): string {
  return VISIBLE.test(text) ? text : encodeURIComponent(text);
}

function outcomeOf(answer: PostAnswer): CallOutcome {
  if (answer.kind === 'failed') return answer;
  const { status, body } = answer;
  if (status >= 200 && status < 300) return { kind: 'done' };
  if (status === 409 && saysStale(body)) return { kind: 'stale' };
  if (status >= 300 && status < 400) return failed(`HTTP ${status}: redirects are not followed`);
  return failed(`HTTP ${status}${body === '' ? '' : `: ${body}`}`);
}

function saysStale(body: string): boolean {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && 'stale' in value && value.stale === true;
  } catch {
    return false;
  }
}
