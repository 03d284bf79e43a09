/** What the demo shows while it runs: a bar that moves on a terminal, plain lines elsewhere. */
import type { AgentMessage } from './protocol.ts';

export interface DemoView {
  /** Something happened. */
  event(text: string): void;
  /** A phase has come so far. */
  progress(phase: string, done: number, total: number): void;
}

export interface ViewTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const BAR_WIDTH = 30;
/** Plain lines tell of progress in these steps. */
const PLAIN_STEP = 0.25;

export class LiveView implements DemoView {
  readonly #target: ViewTarget;
  readonly #paint: (style: 'bold' | 'dim' | 'cyan', text: string) => string;
  readonly #startedMs = performance.now();
  #bar = '';
  #reported = new Map<string, number>();

  constructor(target: ViewTarget, paint: (style: 'bold' | 'dim' | 'cyan', text: string) => string) {
    this.#target = target;
    this.#paint = paint;
  }

  event(text: string): void {
    const seconds = ((performance.now() - this.#startedMs) / 1_000).toFixed(1).padStart(5);
    this.#clear();
    this.#target.write(`${this.#paint('dim', `${seconds} s`)}  ${text}\n`);
    this.#draw();
  }

  progress(phase: string, done: number, total: number): void {
    const share = total === 0 ? 1 : done / total;
    if (this.#target.isTTY === true) {
      const filled = Math.round(share * BAR_WIDTH);
      this.#clear();
      const bar = this.#paint('cyan', '█'.repeat(filled)) + this.#paint('dim', '░'.repeat(BAR_WIDTH - filled));
      this.#bar = share >= 1 ? '' : `         ${phase.padEnd(10)} ${bar} ${done}/${total}`;
      this.#draw();
      return;
    }
    const step = Math.floor(share / PLAIN_STEP);
    if (step <= (this.#reported.get(phase) ?? 0)) return;
    this.#reported.set(phase, step);
    this.event(`${phase}: ${done} of ${total} sub-steps on record`);
  }

  /** A new round starts its bars anew. */
  reset(): void {
    this.#reported.clear();
  }

  end(): void {
    this.#clear();
    this.#bar = '';
  }

  #clear(): void {
    if (this.#bar !== '') this.#target.write('\r\u001b[K');
  }

  #draw(): void {
    if (this.#bar !== '') this.#target.write(this.#bar);
  }
}

/** Shows what an agent tells. */
export function showMessage(view: DemoView, caller: string, message: AgentMessage): void {
  switch (message.kind) {
    case 'begun': {
      const kept = message.done === 0 ? '' : `, ${message.done} sub-steps done already`;
      view.event(`${caller} begins ${message.phase} (attempt ${message.attempt}, token ${message.token}${kept})`);
      return;
    }
    case 'recorded':
      view.progress(message.phase, message.done, message.total);
      return;
    case 'committed':
      view.event(`${caller} commits ${message.phase}`);
      return;
    case 'hold':
      return;
  }
}
