/**
 * Numbers for everything that repeats: members as they can be, messages, logs, ledgers. A member's answer to an input is computed
 * once, by the real core, and looked up from then on: the members of millions of states are a few thousand different ones.
 *
 * Each of them has a fingerprint for every renaming of the members (`Renaming`). A state's fingerprint is the sum over its parts,
 * and the least of all renamings stands for it: states that differ in names only are one.
 */
import type { Configuration, Entry, Message } from '../../src/raft/types.ts';
import { must } from '../../src/types/assert.ts';
import type { MemberId } from '../../src/types/ids.ts';
import { type Act, act, type Counted, configurationsOf, type Founding, type ModelMember, memoryLog } from './member.ts';
import { write } from './opened.ts';
import { PairTable } from './tables.ts';

export type Renaming = ReadonlyMap<string, string>;

/** What the rules look at, for one member as it can be. */
export interface Facts {
  readonly member: ModelMember;
  readonly at: number;
  readonly term: number;
  readonly leads: boolean;
  readonly commitIndex: number;
  /** Numbers of logs: in memory, on disk, applied. */
  readonly log: number;
  readonly disk: number;
  readonly applied: number;
  readonly configuration: Configuration;
  /** What it may do now, by number of the act. */
  readonly acts: readonly number[];
}

export interface Answer {
  readonly next: number;
  /** Numbers of messages. */
  readonly sent: readonly number[];
  readonly counted: readonly Counted[];
  readonly broken: string | null;
}

/** One committed entry, as it was committed first. */
export interface Committed {
  readonly entry: Entry;
  /** Term of the leader that committed it: later leaders have it. */
  readonly inTerm: number;
}

/** Two independent 32-bit hashes of a text (after cyrb53, public domain). */
function hash(text: string): [number, number] {
  let high = 0x3ade68b1 ^ text.length;
  let low = 0x41c6ce57;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    high = Math.imul(high ^ code, 0x85ebca77);
    low = Math.imul(low ^ code, 0xc2b2ae3d);
  }
  high ^= Math.imul(high ^ (low >>> 15), 0x735a2d97);
  low ^= Math.imul(low ^ (high >>> 15), 0xcaf649a9);
  high ^= high >>> 16;
  low ^= low >>> 16;
  return [Math.imul(high, 0x9e3779b1) | 0, Math.imul(low, 0x85ebca6b) | 0];
}

/** Things by number, and their fingerprints under each renaming: `high[thing × renamings + renaming]`. */
class Catalogue<T> {
  readonly things: T[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #renamings: readonly Renaming[];
  readonly high: number[] = [];
  readonly low: number[] = [];

  constructor(renamings: readonly Renaming[]) {
    this.#renamings = renamings;
  }

  /** `text` writes the thing with other names. */
  number(thing: () => T, text: (renaming: Renaming) => string): number {
    const key = text(must(this.#renamings[0], 'the identity'));
    const known = this.#numbers.get(key);
    if (known !== undefined) return known;
    const made = this.things.length;
    this.#numbers.set(key, made);
    this.things.push(thing());
    for (const renaming of this.#renamings) {
      const [high, low] = hash(text(renaming));
      this.high.push(high);
      this.low.push(low);
    }
    return made;
  }
}

export class Space {
  readonly founding: Founding;
  readonly renamings: readonly Renaming[];
  readonly members: Catalogue<Facts>;
  readonly messages: Catalogue<Message>;
  readonly ledgers: Catalogue<readonly Committed[]>;
  readonly logs: Catalogue<readonly Entry[]>;
  readonly acts: Catalogue<Act>;
  readonly #answers = new PairTable();
  readonly #answerList: Answer[] = [];

  constructor(founding: Founding, renamings: readonly Renaming[]) {
    this.founding = founding;
    this.renamings = renamings;
    this.members = new Catalogue(renamings);
    this.messages = new Catalogue(renamings);
    this.ledgers = new Catalogue(renamings);
    this.logs = new Catalogue(renamings.slice(0, 1));
    this.acts = new Catalogue(renamings.slice(0, 1));
  }

  /** Calls of the real core, as against looked-up answers. */
  get computed(): number {
    return this.#answerList.length;
  }

  facts(member: number): Facts {
    return this.members.things[member] as Facts;
  }
  message(number: number): Message {
    return this.messages.things[number] as Message;
  }
  log(number: number): readonly Entry[] {
    return this.logs.things[number] as readonly Entry[];
  }
  ledger(number: number): readonly Committed[] {
    return this.ledgers.things[number] as readonly Committed[];
  }

  numberOfMember(member: ModelMember): number {
    return this.members.number(
      () => this.#factsOf(member),
      (names) => write(member, names),
    );
  }

  numberOfLedger(ledger: readonly Committed[]): number {
    return this.ledgers.number(
      () => ledger,
      (names) => write(ledger, names),
    );
  }

  #numberOfLog(log: readonly Entry[]): number {
    return this.logs.number(
      () => log,
      (names) => write(log, names),
    );
  }

  #factsOf(member: ModelMember): Facts {
    const { ids } = this.founding;
    const { core } = member;
    const log = memoryLog(member);
    const configuration = must(configurationsOf(log, this.founding).at(-1), 'a configuration');
    const leads = core.role === 'leader';
    return {
      member,
      at: ids.indexOf(member.id),
      term: core.term,
      leads,
      commitIndex: core.commitIndex,
      log: this.#numberOfLog(log),
      disk: this.#numberOfLog(member.disk),
      applied: this.#numberOfLog(member.applied),
      configuration,
      acts: this.#actsOf(member, configuration, leads).map((one) =>
        this.acts.number(
          () => one,
          (names) => write(one, names),
        ),
      ),
    };
  }

  /** Acts that spend something shared (`propose`, `change`) are the explorer's to forbid. */
  #actsOf({ core, pending, applied }: ModelMember, { voters }: Configuration, leads: boolean): Act[] {
    const { scope, ids } = this.founding;
    const acts: Act[] = [];
    if (!leads && core.term < scope.terms) acts.push({ kind: 'campaign' });
    if (leads) {
      acts.push({ kind: 'heartbeat' }, { kind: 'silence' });
      for (let name = 1; name <= scope.proposals; name++) acts.push({ kind: 'propose', name });
      const others = scope.changes === 0 ? [] : ids;
      for (const id of others) {
        const left = voters.filter((voter) => voter !== id);
        acts.push({ kind: 'change', voters: voters.includes(id) ? left : [...voters, id].sort() });
      }
      if (scope.transfers) for (const to of voters) acts.push({ kind: 'transfer', to });
    }
    for (let count = 1; count <= pending.length; count++) acts.push({ kind: 'persist', count });
    if (!scope.crashes) return acts;
    for (let written = 0; written <= pending.length; written++) {
      acts.push({ kind: 'crash', written, keepsApplied: true });
      if (applied.length > 0) acts.push({ kind: 'crash', written, keepsApplied: false });
    }
    return acts;
  }

  /** `input`: number of a message ≥ 0, or −1 − number of an act. */
  answer(member: number, input: number): Answer {
    const key = input >= 0 ? 2 * input : -2 * input - 1;
    const known = this.#answers.get(member, key);
    if (known >= 0) return this.#answerList[known] as Answer;
    const what: Act =
      input >= 0 ? { kind: 'receive', message: this.message(input) } : (this.acts.things[-1 - input] as Act);
    const { next, sent, counted, broken } = act(this.facts(member).member, what, this.founding);
    const made: Answer = {
      next: broken === null ? this.numberOfMember(next) : member,
      sent: [
        ...new Set(
          sent.map((message) =>
            this.messages.number(
              () => message,
              (names) => write(message, names),
            ),
          ),
        ),
      ],
      counted,
      broken,
    };
    this.#answers.set(member, key, this.#answerList.length);
    this.#answerList.push(made);
    return made;
  }
}

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length <= 1) return [[...list]];
  return list.flatMap((first, at) =>
    permutations(list.filter((_, other) => other !== at)).map((rest) => [first, ...rest]),
  );
}

/**
 * The identity first; then, where members are alike, every other renaming. A configuration has them sorted by name, and the voter that
 * a removed leader prefers may be the first of several: with changes, no two members count as alike.
 */
export function renamingsOf(ids: readonly MemberId[], alike: boolean): Renaming[] {
  const identity = new Map(ids.map((id) => [id as string, id as string]));
  if (!alike) return [identity];
  const all = permutations(ids).map((names) => new Map(ids.map((id, at) => [id as string, names[at] as string])));
  return [identity, ...all.filter((names) => ids.some((id) => names.get(id) !== id))];
}
