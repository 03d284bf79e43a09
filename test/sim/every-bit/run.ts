/** One bit of one member's log or copy of the hard state is flipped, and the cluster is started. */
import type { SimMember } from '../cluster/sim-member.ts';
import { formatNote, type Note } from '../kernel/journal.ts';
import { describe, fullTurn } from '../kernel/world.ts';
import { Copies } from './copies.ts';
import type { Prepared } from './prepare.ts';

export interface Bit {
  readonly path: string;
  readonly offset: number;
  /** 0 to 7. */
  readonly bit: number;
  /** Part of what was written, not of the room behind it. */
  readonly used: boolean;
}

/** Of the last one: some rule was broken, or it came to no end. */
export type Verdict = 'sound and equal' | 'repaired from peers' | 'clean refusal' | 'WRONG';

export interface BitRun {
  readonly verdict: Verdict;
  /** What the member said, or what is wrong. */
  readonly message: string;
  readonly last: readonly string[];
}

/** Where nothing was written, one bit of so many. */
const UNUSED_STEP = 64;
const LIMIT_US = 30_000_000;
const LOOK_EVERY_US = 10_000;
const LAST_NOTES = 60;
export const DAMAGED = 0;

export function bitsOf(prepared: Prepared): readonly Bit[] {
  const member = prepared.members[DAMAGED] as SimMember;
  const bits: Bit[] = [];
  for (const [path, file] of member.disk.durableFiles()) {
    if (!path.startsWith('wal/') && path !== 'hard-state') continue;
    const bytes = file.durableBytes();
    const used = path === 'hard-state' ? bytes.length : bytes.findLastIndex((byte) => byte !== 0) + 1;
    for (let at = 0; at < bytes.length * 8; at += at < used * 8 ? 1 : UNUSED_STEP) {
      bits.push({ path, offset: at >> 3, bit: at & 7, used: at < used * 8 });
    }
  }
  return bits;
}

/** `elect`: a cluster that is whole again loses its leader, so that it needs the vote of the repaired member. */
export async function runBit(
  prepared: Prepared,
  flipped: Bit | null,
  elect: boolean,
  sink: ((note: Note) => void) | null,
): Promise<BitRun> {
  const copies = new Copies(prepared, [DAMAGED], sink);
  const { world, members } = copies;
  const member = members[DAMAGED] as SimMember;
  if (flipped !== null) {
    const file = member.disk.durableFiles().find(([path]) => path === flipped.path)?.[1];
    file?.rot(flipped.offset, 1 << flipped.bit);
  }
  const onRejection = (error: unknown): void => copies.wrong(member, `leaves a rejection alone: ${describe(error)}`);
  process.on('unhandledRejection', onRejection);
  let over = false;
  const until = async (done: () => boolean): Promise<void> => {
    while (!copies.refused.has(member) && !done()) await world.sleep(LOOK_EVERY_US);
  };
  const work = async (): Promise<void> => {
    for (const one of members) one.boot();
    await until(() => copies.isEqual(members));
    if (elect && !copies.refused.has(member)) {
      (members.find(({ id }) => id === member.status()?.leader && id !== member.id) ?? members[1])?.kill();
      const left = members.filter(({ process }) => process !== null);
      const before = member.status()?.term ?? 0;
      await until(() => (member.status()?.term ?? 0) > before && copies.isEqual(left) && isLed(left));
    }
    over = true;
  };
  try {
    work().catch((error: unknown) => copies.wrong(member, describe(error)));
    await world.run(
      LIMIT_US,
      () => over,
      () => undefined,
    );
    await fullTurn();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  for (const [one, error] of copies.stopped) copies.wrong(one, `stopped: ${error.message}`);
  if (!over) copies.wrong(member, 'came to no end');
  return judge(copies, member);
}

function isLed(members: readonly SimMember[]): boolean {
  return members.some((member) => member.status()?.role === 'leader');
}

function judge(copies: Copies, member: SimMember): BitRun {
  const { world } = copies;
  const refusal = copies.refused.get(member);
  if (refusal !== undefined && !isClean(refusal)) copies.wrong(member, `refuses unclearly: ${describe(refusal)}`);
  if (refusal === undefined && copies.lacks(member) !== null) copies.wrong(member, `${copies.lacks(member)}`);
  if (world.violation !== null) {
    return { verdict: 'WRONG', message: world.violation.message, last: world.journal.last(LAST_NOTES).map(formatNote) };
  }
  if (refusal !== undefined) return { verdict: 'clean refusal', message: refusal.message, last: [] };
  const repaired = copies.recovered.has(member);
  return { verdict: repaired ? 'repaired from peers' : 'sound and equal', message: '', last: [] };
}

/** Says which file, and where in it. */
function isClean(error: Error): boolean {
  if (error.name !== 'WalError' || !('file' in error) || !('offset' in error)) return false;
  return error.message.includes(String(error.file)) && error.message.includes(String(error.offset));
}
