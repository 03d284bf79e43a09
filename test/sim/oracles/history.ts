/** Tells those who watch the committed history of each entry once: when the first member has applied it. */
import { decodeCommand } from '../../../src/codec/command.ts';
import type { MachineView } from '../../../src/machine/api.ts';
import type { Command, MachineEvent } from '../../../src/machine/types.ts';
import type { Entry } from '../../../src/raft/types.ts';
import { revision } from '../../../src/types/ids.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import type { Oracle } from './oracle.ts';

export interface Committed {
  readonly index: number;
  readonly term: number;
  /** null: no command, or one that cannot be read. */
  readonly command: Command | null;
  readonly events: readonly MachineEvent[];
  /** The state after the entry. */
  readonly view: MachineView;
}

export interface Historian {
  readonly id: string;
  committed(entry: Committed): void;
  end?(): void;
}

/** More events than one entry can cause. */
const EVENTS_OF_ENTRY_MAX = 1_000;

export class History implements Oracle {
  readonly id = 'history';
  readonly #historians: readonly Historian[];
  #seenIndex = 0;

  constructor(historians: readonly Historian[]) {
    this.#historians = historians;
  }

  applied(_member: SimMember, entry: Entry, view: MachineView): void {
    if (entry.index <= this.#seenIndex) return;
    this.#seenIndex = entry.index;
    const decoded = entry.kind === 'command' ? decodeCommand(entry.payload) : null;
    const command = decoded?.ok === true ? decoded.value : null;
    const events = view.events(revision(entry.index), EVENTS_OF_ENTRY_MAX);
    const { index, term } = entry;
    for (const historian of this.#historians) historian.committed({ index, term, command, events, view });
  }

  end(): void {
    for (const historian of this.#historians) historian.end?.();
  }
}

/** Names a run: loop, g and phase. */
export function runName({
  loop,
  g,
  phase,
}: {
  readonly loop: string;
  readonly g: number;
  readonly phase: string;
}): string {
  return `${loop} ${g} ${phase}`;
}
