/** Networks that are cut, in the shapes of Jepsen's `jepsen.nemesis`, without a word to anybody. */
import { pause } from '../system/exec.ts';
import type { LinkRule } from '../system/network.ts';
import { type Fault, type Injected, minority, type Nemesis, type NemesisContext, SkippedError } from './types.ts';

/** Pairs that do not hear each other. `disabled`: who has no majority. */
interface Shape {
  readonly cuts: readonly LinkRule[];
  readonly disabled: readonly number[];
  readonly value: Readonly<Record<string, unknown>>;
}

const FLAP_MS = 400;

function silence(from: number, to: number): LinkRule {
  return { from, to, loss: 1 };
}

function between(left: readonly number[], right: readonly number[]): readonly LinkRule[] {
  return left.flatMap((a) => right.flatMap((b) => [silence(a, b), silence(b, a)]));
}

export function halves(order: readonly number[]): Shape {
  const left = order.slice(0, minority(order.length));
  const right = order.slice(left.length);
  return { cuts: between(left, right), disabled: left, value: { sides: [left, right] } };
}

export function oneAgainstAll(order: readonly number[]): Shape {
  const left = order.slice(0, 1);
  const right = order.slice(1);
  return { cuts: between(left, right), disabled: left, value: { sides: [left, right] } };
}

/** Each member hears a majority, and no two of them the same one: those next to it on a ring. */
export function ring(order: readonly number[]): Shape {
  const count = order.length;
  const reach = Math.ceil(Math.floor(count / 2) / 2);
  const cuts = order.flatMap((from, i) =>
    order.flatMap((to, j) => {
      const distance = Math.min((i - j + count) % count, (j - i + count) % count);
      return distance > reach ? [silence(from, to)] : [];
    }),
  );
  return { cuts, disabled: [], value: { ring: order } };
}

/** Two halves that only the one between them can hear. */
export function bridge(order: readonly number[]): Shape {
  const [middle = 0, ...rest] = order;
  const left = rest.slice(0, Math.floor(rest.length / 2));
  const right = rest.slice(left.length);
  return { cuts: between(left, right), disabled: [], value: { middle, sides: [left, right] } };
}

/** One member is heard and does not hear, or the other way round. */
export function oneWay(order: readonly number[], deaf: boolean): Shape {
  const [one = 0, ...rest] = order;
  const cuts = rest.map((other) => (deaf ? silence(other, one) : silence(one, other)));
  return { cuts, disabled: [one], value: { one, deaf } };
}

function partition(
  name: string,
  describe: string,
  shape: (order: readonly number[], fault: Fault) => Shape,
  membersMin = 3,
): Nemesis {
  return {
    name,
    describe,
    membersMin,
    needs: ['namespaces', 'nft'],
    lengthMs: [3_000, 12_000],
    begin: async ({ cluster }, fault) => {
      const { network } = cluster.ground;
      if (network === null) throw new SkippedError('no namespaces');
      const { cuts, disabled, value } = shape(await leaderFirst(cluster, fault), fault);
      const by = `${name}@${fault.startMs}`;
      await network.disturb(by, cuts);
      return { value, disabled, end: () => network.heal(by) };
    },
  };
}

/** Every other time the leader is the one that is cut off: a member by chance is it in one of five cases only. */
async function leaderFirst(cluster: NemesisContext['cluster'], fault: Fault): Promise<readonly number[]> {
  if ((fault.draws[0] ?? 0) < 0.5) return fault.order;
  const leader = await cluster.leader().catch(() => null);
  return leader === null ? fault.order : [leader, ...fault.order.filter((slot) => slot !== leader)];
}

async function flap({ cluster }: NemesisContext, fault: Fault): Promise<Injected> {
  const { network } = cluster.ground;
  if (network === null) throw new SkippedError('no namespaces');
  const { cuts, value } = oneAgainstAll(await leaderFirst(cluster, fault));
  const by = `partition-flapping@${fault.startMs}`;
  let over = false;
  const work = (async () => {
    for (let turn = 0; !over; turn += 1) {
      await (turn % 2 === 0 ? network.disturb(by, cuts) : network.heal(by));
      // Longer than an election and shorter, in turn.
      await pause(FLAP_MS * (0.5 + (fault.draws[turn % fault.draws.length] ?? 0) * 2));
    }
  })();
  const end = async (): Promise<void> => {
    over = true;
    await work.finally(() => network.heal(by));
  };
  return { value: { ...value, everyMs: FLAP_MS }, disabled: [], end };
}

export const PARTITIONS: readonly Nemesis[] = [
  partition('partition-halves', 'the smaller half hears nobody of the larger one', halves),
  partition('partition-one', 'one member against all', oneAgainstAll),
  partition('partition-ring', 'each hears a majority, and each another one', ring, 5),
  partition('partition-bridge', 'two halves and one that hears both', bridge),
  partition('partition-oneway', 'one is heard and does not hear, or hears and is not heard', (order, fault) =>
    oneWay(order, (fault.draws[1] ?? 0) < 0.5),
  ),
  {
    name: 'partition-flapping',
    describe: 'one member is cut off and comes back, faster than an election and slower',
    needs: ['namespaces', 'nft'],
    lengthMs: [5_000, 15_000],
    begin: flap,
  },
];
