/**
 * How the demo and its agent talk: the agent writes one JSON object for each line on stdout; the demo writes `go` on
 * the agent's stdin, and closing it ends the agent.
 */

export type AgentMessage =
  | {
      readonly kind: 'begun';
      readonly phase: string;
      readonly attempt: number;
      readonly token: number;
      readonly done: number;
    }
  | {
      readonly kind: 'recorded';
      readonly phase: string;
      readonly done: number;
      readonly total: number;
      /** Of the leader that acknowledged it. */
      readonly term: number;
      /** When the acknowledgement came, milliseconds since the epoch with fractions. */
      readonly atMs: number;
    }
  /** The agent records nothing more until it is told to go on; the work itself continues. */
  | { readonly kind: 'hold'; readonly phase: string; readonly done: number }
  | { readonly kind: 'committed'; readonly phase: string; readonly nextG: number; readonly result: string };

/** Where an agent holds: before the first report at which this share of the phase's sub-steps is on record. */
export interface HoldPoint {
  readonly phase: string;
  /** 0 to 1. */
  readonly share: number;
}

export function formatHolds(holds: readonly HoldPoint[]): string {
  return holds.map(({ phase, share }) => `${phase}:${share}`).join(',');
}

export function parseHolds(text: string): readonly HoldPoint[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [phase = '', share = '0'] = part.split(':');
      return { phase, share: Number(share) };
    });
}

/** One clock for processes of one machine: milliseconds since the epoch, with fractions. */
export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}
