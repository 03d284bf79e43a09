/** What the core tells a trace sink, and what it tells beside its handlers, only where there is one. */
import type { LogIndex, MemberId, Term } from '../types/ids.ts';
import type { MarkName } from './marks.ts';
import type {
  Effect,
  Entry,
  HardState,
  PlacedConfiguration,
  RaftOptions,
  Role,
  SnapshotMark,
  TermSpan,
} from './types.ts';

/**
 * Trace events are data (style 6); a sink may be handed to the core, and costs nothing when it is absent. What one member did can be
 * followed from its events alone, from `start` to `start`: its log, what of it is durable, votes, commits and configurations.
 */
export type TraceEvent =
  /** A life begins, with what was durable. */
  | {
      readonly kind: 'start';
      readonly hardState: HardState;
      readonly log: RaftOptions['log'];
      readonly appliedIndex: LogIndex;
      readonly configurations: readonly PlacedConfiguration[];
      readonly recovering: boolean;
    }
  | { readonly kind: 'role'; readonly term: Term; readonly role: Role; readonly leader: MemberId | null }
  /** The own vote is given to itself; the log ends as named. */
  | { readonly kind: 'campaign'; readonly term: Term; readonly lastIndex: LogIndex; readonly lastTerm: Term }
  /** By these votes. The log ends as named; a no-op of the term follows. */
  | {
      readonly kind: 'elected';
      readonly term: Term;
      readonly lastIndex: LogIndex;
      readonly lastTerm: Term;
      readonly granted: readonly MemberId[];
      readonly blank: readonly MemberId[];
    }
  /** The log goes on with these entries behind one of `prevTerm`. */
  | {
      readonly kind: 'append';
      readonly term: Term;
      readonly from: LogIndex;
      readonly to: LogIndex;
      readonly prevTerm: Term;
      readonly spans: readonly TermSpan[];
    }
  | { readonly kind: 'truncate'; readonly term: Term; readonly from: LogIndex; readonly to: LogIndex }
  /** `entryTerm`: of the entry `index`. */
  | { readonly kind: 'commit'; readonly term: Term; readonly index: LogIndex; readonly entryTerm: Term }
  /** A persist or restore effect goes out; of the log, all from `from` on is new. null: unchanged, nothing. */
  | {
      readonly kind: 'persist';
      readonly sequence: number;
      readonly hardState: HardState | null;
      readonly from: LogIndex | null;
    }
  /** All persist effects up to this one are durable. */
  | { readonly kind: 'durable'; readonly sequence: number }
  | { readonly kind: 'configuration'; readonly placed: PlacedConfiguration; readonly committed: boolean }
  /** The log begins after an image of the state now, and goes on with what it held if that fits. */
  | { readonly kind: 'restore'; readonly sequence: number; readonly mark: SnapshotMark; readonly keepsEntries: boolean }
  | { readonly kind: 'compact'; readonly index: LogIndex }
  | {
      readonly kind: 'vote';
      readonly term: Term;
      readonly candidate: MemberId;
      readonly granted: boolean;
      readonly pre: boolean;
    }
  | { readonly kind: 'mark' /** A rare branch was taken (marks.ts). */; readonly name: MarkName };

/** The terms of consecutive entries. */
export function spansOf(entries: readonly Entry[]): TermSpan[] {
  const spans: TermSpan[] = [];
  for (const { index, term } of entries) {
    if (spans[spans.length - 1]?.term !== term) spans.push({ firstIndex: index, term });
  }
  return spans;
}

/** What a step hands out for the disk, and the configuration that it left in force. */
export function traceEffects(trace: (event: TraceEvent) => void, effects: readonly Effect[]): void {
  for (const effect of effects) {
    switch (effect.kind) {
      case 'persist': {
        const { sequence, hardState, entries } = effect;
        trace({ kind: 'persist', sequence, hardState, from: entries[0]?.index ?? null });
        break;
      }
      case 'restore':
        trace({ kind: 'restore', sequence: effect.sequence, mark: effect.mark, keepsEntries: effect.keepEntries });
        break;
      case 'configurationChanged':
        trace({ kind: 'configuration', placed: effect.placed, committed: effect.committed });
        break;
      default:
    }
  }
}
