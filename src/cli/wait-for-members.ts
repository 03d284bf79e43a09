/** Waits until members are what was wanted of them, and shows how far they are. */
import { type MemberInfo, type MemberList, type QuorateClient, QuorateError } from '../client/client.ts';
import type { Context } from './context.ts';
import { formatBytes, Progress } from './progress.ts';

/** `role` null: gone. */
export interface Goal {
  readonly member: string;
  readonly role: 'voter' | 'learner' | null;
}

const LOOK_MS = 250;

function isReached(list: MemberList, { member, role }: Goal): boolean {
  return (list.members.find((one) => one.memberId === member)?.role ?? null) === role;
}

function goalText(list: MemberList, goal: Goal): string {
  const one = list.members.find((candidate) => candidate.memberId === goal.member);
  if (isReached(list, goal)) return `${goal.member}: ${goal.role ?? 'gone'}`;
  if (goal.role === null) return `${goal.member}: is being taken out`;
  if (one === undefined || one.role === null) return `${goal.member}: is being added`;
  return `${goal.member}: ${one.role}, ${howFar(one)}`;
}

function howFar({ transfer, lagEntries, active }: MemberInfo): string {
  if (!active) return 'not heard of; does it run?';
  if (transfer !== null) return `is sent the state, ${formatBytes(transfer.bytesSent)} so far`;
  return lagEntries === 0 ? 'has caught up' : `${lagEntries} entries behind`;
}

/** Nobody wants this any more: somebody removed a member that was to come. */
function abandoned(list: MemberList, goals: readonly Goal[]): Goal | undefined {
  return goals.find((goal) => {
    const wanted = list.members.find((one) => one.memberId === goal.member)?.wanted;
    return goal.role !== null && wanted === 'removed';
  });
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}

/** Rejects with UNAVAILABLE when `timeoutMs` (null: none) is over; the change goes on then. */
export async function waitFor(
  context: Context,
  client: QuorateClient,
  goals: readonly Goal[],
  timeoutMs: number | null,
): Promise<MemberList> {
  const { shell, out } = context;
  const endMs = performance.now() + (timeoutMs ?? Number.POSITIVE_INFINITY);
  const progress = new Progress(shell.stderr, out.json);
  let text = 'no member says how far it is';
  try {
    for (;;) {
      const list = await look(client, shell.signal);
      if (list !== null) {
        if (list.settled && goals.every((goal) => isReached(list, goal))) return list;
        const lost = abandoned(list, goals);
        if (lost !== undefined) {
          const message = `${lost.member} was removed meanwhile; \`quorate member list\` shows who is there`;
          throw new QuorateError({ reason: 'MEMBER_NOT_FOUND', message });
        }
        text = goals.map((goal) => goalText(list, goal)).join('; ');
        progress.show(text);
      }
      if (performance.now() >= endMs) {
        const message = `not done within ${timeoutMs} ms (${text}); it goes on, \`quorate member list\` shows how far it is`;
        throw new QuorateError({ reason: 'UNAVAILABLE', message });
      }
      await pause(LOOK_MS, shell.signal);
      shell.signal.throwIfAborted();
    }
  } finally {
    progress.end();
  }
}

/** null: nobody could say, which passes while leadership changes hands. */
async function look(client: QuorateClient, signal: AbortSignal): Promise<MemberList | null> {
  try {
    return await client.members({ signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof QuorateError && error.reason !== 'INTERNAL' && error.reason !== 'UNKNOWN') return null;
    throw error;
  }
}
