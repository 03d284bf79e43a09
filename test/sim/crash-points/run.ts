/** Runs the script, and cuts the power of one member at one step of it. */
import { Cluster } from '../cluster/cluster.ts';
import type { SimMember } from '../cluster/sim-member.ts';
import { formatNote, type Note } from '../kernel/journal.ts';
import { describe, fullTurn, type Violation } from '../kernel/world.ts';
import { checkLiveness } from '../oracles/liveness.ts';
import { PowerCut } from '../ports/steps.ts';
import { SCRIPT_OPTIONS } from './options.ts';
import { Script } from './script.ts';

/** Where in the step: before it, and nothing that was not synced survives; or after it, and everything does; or some. */
export const MOMENTS = ['before', 'after', 'torn'] as const;
export type Moment = (typeof MOMENTS)[number];

export interface CrashPoint {
  /** From 1, in the order of the run in which nothing is crashed. */
  readonly number: number;
  readonly moment: Moment;
}

/** A write that is torn leaves other sectors behind than one that is lost; nothing else can be done by halves. */
export function momentsOf(step: NumberedStep): readonly Moment[] {
  return step.kind === 'disk: segment sync' || step.kind === 'store: write' ? MOMENTS : ['before', 'after'];
}

/** A step as the run without a crash numbered it. */
export interface NumberedStep {
  readonly chapter: string;
  readonly kind: string;
  readonly member: string;
}

export interface CrashRun {
  readonly steps: readonly NumberedStep[];
  readonly violation: Violation | null;
  readonly last: readonly string[];
}

const KEPT: Readonly<Record<Moment, number>> = { before: 0, after: 1000, torn: 500 };
const EVENTS_MAX = 400_000;
const LAST_NOTES = 80;
const END_US = 3_600_000_000;

export async function runScript(crash: CrashPoint | null, sink: ((note: Note) => void) | null): Promise<CrashRun> {
  const cluster = new Cluster(SCRIPT_OPTIONS, sink);
  const { world } = cluster;
  const script = new Script(cluster);
  const steps: NumberedStep[] = [];
  const cut = (member: SimMember, moment: Moment): never => {
    world.note(member.id, 'power cut', steps.length, 0, 0, moment);
    member.crash(KEPT[moment]);
    world.after(300_000, null, () => {
      if (!script.isMeantDown(member)) member.boot();
    });
    throw new PowerCut();
  };
  cluster.onStep = (member, kind, detail, effect) => {
    steps.push({ chapter: script.chapter, kind: `${kind}: ${detail}`, member: member.id });
    const here = steps.length === crash?.number && member.process !== null;
    if (here && crash.moment === 'before') cut(member, 'before');
    const result = effect();
    if (here) cut(member, crash.moment);
    return result;
  };
  const onRejection = (error: unknown): void => cluster.violate('CR', `unhandled rejection: ${describe(error)}`);
  process.on('unhandledRejection', onRejection);
  let over = false;
  try {
    cluster.operator.idle = true;
    for (const watcher of cluster.watchers) watcher.start();
    script.run().then(
      () => {
        over = true;
      },
      (error: unknown) => cluster.violate('CR', `the script: ${describe(error)}`),
    );
    await world.run(
      END_US,
      () => over || world.events > EVENTS_MAX,
      () => cluster.check(),
    );
    if (!over && world.violation === null) cluster.violate('LV', `the script does not end: it is at ${script.chapter}`);
    for (const client of cluster.clients) client.idle = true;
    if (world.violation === null) cluster.heal(20_000);
    if (world.violation === null) await checkLiveness(cluster);
    if (world.violation === null) cluster.end();
    await fullTurn();
  } finally {
    process.off('unhandledRejection', onRejection);
  }
  const { violation } = world;
  return { steps, violation, last: violation === null ? [] : world.journal.last(LAST_NOTES).map(formatNote) };
}
