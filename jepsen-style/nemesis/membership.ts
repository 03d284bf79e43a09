/** Members that come and go, members that are restarted one after the other, and members that lag until an image has to be sent. */
import { randomBytes } from 'node:crypto';
import { eventually, exec, pause } from '../system/exec.ts';
import { draw, type Nemesis, type NemesisContext, SkippedError } from './types.ts';

const CHANGE_MS = 60_000;
const READY_MS = 30_000;
/** Longest that a member that falls behind is away; it is enough for more than the log that is kept. */
const LAG_MS = 20_000;

/** `quorate …` as an operator has it; rejects with what it said. */
function quorate({ cluster, cli }: NemesisContext, ...args: readonly string[]): Promise<string> {
  const endpoints = cluster.endpoints.join(',');
  return exec([process.execPath, cli, ...args, '--endpoints', endpoints], { timeoutMs: CHANGE_MS });
}

async function isVoter({ cluster }: NemesisContext, id: string): Promise<boolean> {
  const { members } = await cluster.observer.members({ deadlineMs: 2_000 });
  return members.some(({ memberId, role }) => memberId === id && role === 'voter');
}

/** The one in the slot goes for good, and a new one on an empty disk takes its place. */
export async function replace(context: NemesisContext, slot: number): Promise<void> {
  const { cluster, finding } = context;
  const gone = cluster.member(slot).id;
  const { id, place } = await cluster.welcome(slot);
  const said: string[] = [];
  const asked = async (): Promise<boolean> => {
    const one = `${id}=${place.peerAddress},${place.clientAddress}`;
    await quorate(context, 'member', 'replace', gone, one, '--no-wait').catch((error: Error) =>
      said.push(error.message),
    );
    return isVoter(context, id);
  };
  if (!(await eventually(asked, CHANGE_MS, 1_000)))
    finding(`${id} did not become a voter in place of ${gone}: ${said.at(-1)}`);
}

const CHURN: Nemesis = {
  name: 'churn',
  describe: 'a member is removed, and a new one on an empty disk is added in its place',
  needs: [],
  lengthMs: [1_000, 6_000],
  begin: async (context, fault) => {
    const { cluster, claimExclusive, release, log } = context;
    const leader = draw(fault, 0) < 0.3 ? await cluster.leader() : null;
    const slots = claimExclusive(leader === null ? fault.order : [leader, ...fault.order], 1);
    const [slot = 0] = slots;
    const member = cluster.member(slot);
    const gone = member.id;
    // It is told, and ends.
    member.expectExit();
    let removed = false;
    await quorate(context, 'member', 'remove', gone, '--no-wait').then(
      () => {
        removed = true;
      },
      (error: Error) => log(`${gone} is not removed now: ${error.message}`),
    );
    if (!removed) {
      member.start();
      release(slots);
      throw new SkippedError('the cluster did not take the change now');
    }
    return {
      value: { members: slots, removed: gone },
      disabled: slots,
      end: async () => {
        await comeBack(context, slot);
        release(slots);
      },
    };
  },
};

/** A new member for a slot whose old one is on its way out. */
async function comeBack(context: NemesisContext, slot: number): Promise<void> {
  const { cluster, finding } = context;
  const gone = cluster.member(slot).id;
  const left = async (): Promise<boolean> => !(await isVoter(context, gone));
  if (!(await eventually(left, CHANGE_MS, 500))) finding(`${gone} was not removed within ${CHANGE_MS / 1000} s`);
  const { id, place } = await cluster.welcome(slot);
  const said: string[] = [];
  const asked = async (): Promise<boolean> => {
    const one = `${id}=${place.peerAddress},${place.clientAddress}`;
    await quorate(context, 'member', 'add', one, '--no-wait').catch((error: Error) => said.push(error.message));
    return isVoter(context, id);
  };
  if (!(await eventually(asked, CHANGE_MS, 1_000))) finding(`${id} did not become a voter: ${said.at(-1)}`);
}

const ROLLING: Nemesis = {
  name: 'rolling-restart',
  describe: 'all members are restarted one after the other; a leader hands over first',
  needs: [],
  lengthMs: [1_000, 2_000],
  begin: async (context, fault) => {
    const { claim, release } = context;
    const slots = claim(fault.order, fault.order.length);
    let over = false;
    const work = (async () => {
      for (const slot of slots) {
        if (over) return;
        await restart(context, slot);
      }
    })();
    // A rolling restart that was begun is finished.
    const end = async (): Promise<void> => {
      await work.finally(() => {
        over = true;
        release(slots);
      });
    };
    return { value: { members: slots }, disabled: [], end };
  },
};

async function restart({ cluster, log }: NemesisContext, slot: number): Promise<void> {
  const member = cluster.member(slot);
  if ((await cluster.leader().catch(() => null)) === slot) {
    // It may be that nobody can take over now; it is stopped all the same.
    await cluster.observer
      .transferLeadership(undefined, { deadlineMs: 5_000 })
      .catch((error: Error) => log(error.message));
  }
  await member.stop();
  member.start();
  const serves = async (): Promise<boolean> => {
    const mine = (await cluster.statuses()).find((one) => one.slot === slot)?.status.streams[0];
    return mine !== undefined && mine.leaderId !== null;
  };
  if (!(await eventually(serves, READY_MS))) log(`${member.id} has no leader ${READY_MS / 1000} s after its restart`);
}

const SNAPSHOT: Nemesis = {
  name: 'snapshot',
  describe: 'a member is away until the log that it lacks is gone, and has to be sent an image',
  needs: [],
  lengthMs: [3_000, 6_000],
  begin: async ({ cluster, claim, release }, fault) => {
    const slots = claim(fault.order, 1);
    const [slot = 0] = slots;
    const member = cluster.member(slot);
    const lastIndex = (await cluster.statuses()).find((one) => one.slot === slot)?.status.streams[0]?.lastIndex;
    if (lastIndex === undefined) throw new SkippedError('it is not known how far the member is');
    await member.kill();
    const forgotten = async (): Promise<boolean> => {
      const firsts = (await cluster.statuses()).flatMap(({ status }) =>
        status.streams.map(({ firstLogIndex }) => firstLogIndex),
      );
      return firsts.length > 0 && Math.min(...firsts) > lastIndex + 1;
    };
    let filling = true;
    const filler = fillLog(cluster, () => filling);
    const end = async (): Promise<string | null> => {
      const needed = await eventually(forgotten, LAG_MS, 500);
      filling = false;
      await filler;
      member.start();
      release(slots);
      return needed ? null : `the log was still kept after ${LAG_MS / 1000} s: it did without an image`;
    };
    return { value: { members: slots, lastIndex }, disabled: slots, end };
  },
};

const FILL_LOOP = 'snapshot-pressure';
const FILL_WRITERS = 4;
const FILL_BYTES = 128 * 1024;
/** Between two documents of a writer, milliseconds: the others are to have their share of the disk. */
const FILL_REST_MS = 50;

/** Large documents, so that segments fill up and are freed. */
async function fillLog({ observer }: NemesisContext['cluster'], go: () => boolean): Promise<void> {
  const deadlineMs = 5_000;
  await observer.withoutSession.createLoop(FILL_LOOP, { deadlineMs }).catch(() => undefined);
  const write = async (name: string): Promise<void> => {
    // Chance text: what compresses well does not fill a segment.
    const text = randomBytes((FILL_BYTES * 3) / 4).toString('base64');
    const before = await observer.documents.get(FILL_LOOP, name, { deadlineMs }).then(
      ({ version }) => version,
      () => 0,
    );
    await observer.documents.put(FILL_LOOP, name, text, { expectedVersion: before, deadlineMs }).catch(() => undefined);
  };
  const writers = Array.from({ length: FILL_WRITERS }, async (_, i) => {
    while (go()) {
      await write(`fill-${i}`);
      await pause(FILL_REST_MS);
    }
  });
  await Promise.all(writers);
}

export const MEMBERSHIP: readonly Nemesis[] = [CHURN, ROLLING, SNAPSHOT];
