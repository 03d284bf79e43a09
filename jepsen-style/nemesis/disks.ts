/** Disks that are full, slow, fail to sync, or lose their power. */
import type { Cluster } from '../cluster/cluster.ts';
import { eventually, pause } from '../system/exec.ts';
import { choose, type Scope } from './processes.ts';
import { draw, type Fault, minority, type Nemesis, type NemesisContext, SkippedError } from './types.ts';

/** To each fdatasync, milliseconds. */
const SLOW_MS = [20, 400] as const;
const ATTACH_MS = 5_000;
const EXIT_MS = 15_000;
/** Between the word that a disk is full and the end of the process. */
const EXIT_GRACE_MS = 1_000;

async function fill({ cluster, claim, release }: NemesisContext, fault: Fault) {
  const count = draw(fault, 0) < 0.6 ? 1 : minority(fault.order.length);
  const slots = claim(fault.order, count);
  const disks = slots.map((slot) => diskOf(cluster, slot));
  const filled = await Promise.allSettled(disks.map((disk) => disk.fill()));
  const failed = filled.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    // The members are at work, and may have taken the last room themselves.
    await Promise.all(disks.map((disk) => disk.empty()));
    throw failed.reason;
  }
  // One that was about to start, or whose tables have no room, says so and ends (docs/runbooks/disk-full.md).
  for (const slot of slots) cluster.member(slot).expectExit();
  const end = async (): Promise<void> => {
    await Promise.all(disks.map((disk) => disk.empty()));
    // One that is on its way out still has leave to end.
    await pause(EXIT_GRACE_MS);
    for (const slot of slots) cluster.member(slot).start();
    release(slots);
  };
  return { value: { members: slots }, disabled: [], end };
}

function diskOf(cluster: Cluster, slot: number) {
  const disk = cluster.ground.disks[slot];
  if (disk === undefined) throw new SkippedError('members have no disks of their own');
  return disk;
}

/** Attaches strace to the member with an injection; rejects when it does not stay. */
async function tamper({ cluster, background }: NemesisContext, slot: number, injection: string) {
  const { pid } = cluster.member(slot);
  if (pid === null) throw new SkippedError('the member does not run');
  const program = background([
    'strace',
    '-f',
    '-qq',
    '-o',
    '/dev/null',
    '-e',
    'trace=fdatasync,fsync',
    '-e',
    injection,
    '-p',
    `${pid}`,
  ]);
  const attached = await eventually(() => isTraced(pid), ATTACH_MS, 20);
  if (attached) return program;
  await program.stop();
  throw new SkippedError('strace does not attach');
}

async function isTraced(pid: number): Promise<boolean> {
  const { readFile } = await import('node:fs/promises');
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return /^TracerPid:\s*[1-9]/m.test(status);
}

const SLOW: Nemesis = {
  name: 'disk-slow',
  describe: 'every fdatasync of one or a minority takes 20 to 400 ms more',
  needs: ['strace'],
  lengthMs: [5_000, 20_000],
  begin: async (context, fault) => {
    const count = draw(fault, 0) < 0.5 ? 1 : minority(fault.order.length);
    const slots = context.claim(fault.order, count);
    const delayMs = Math.round(SLOW_MS[0] + draw(fault, 1) * (SLOW_MS[1] - SLOW_MS[0]));
    const injection = `inject=fdatasync,fsync:delay_enter=${delayMs * 1000}`;
    const tried = await Promise.allSettled(slots.map((slot) => tamper(context, slot, injection)));
    const programs = tried.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
    const stop = async (): Promise<void> => {
      await Promise.all(programs.map((program) => program.stop()));
    };
    const failed = tried.find((one) => one.status === 'rejected');
    if (failed !== undefined) {
      await stop();
      throw failed.reason;
    }
    const end = async (): Promise<void> => {
      await stop();
      context.release(slots);
    };
    return { value: { members: slots, delayMs }, disabled: [], end };
  },
};

/** W5: what an fsync that failed leaves behind is not known. The member has to end, and not to acknowledge anything more. */
const FSYNC: Nemesis = {
  name: 'disk-fsync',
  describe: 'an fdatasync of one member fails with EIO; it has to end, and is started again',
  needs: ['strace'],
  lengthMs: [2_000, 8_000],
  begin: async (context, fault) => {
    const { cluster, claim, release, finding } = context;
    const leader = draw(fault, 0) < 0.5 ? await cluster.leader() : null;
    const slots = claim(leader === null ? fault.order : [leader, ...fault.order], 1);
    const [slot = 0] = slots;
    const member = cluster.member(slot);
    member.expectExit();
    const program = await tamper(context, slot, 'inject=fdatasync:error=EIO');
    const end = async (): Promise<void> => {
      const gone = await eventually(() => !member.running, EXIT_MS);
      await program.stop();
      if (!gone) finding(`${member.id} goes on although its fdatasync failed`);
      if (!gone) await member.kill();
      member.start();
      release(slots);
    };
    return { value: { members: slots }, disabled: slots, end };
  },
};

function powerNemesis(scope: Scope): Nemesis {
  return {
    name: `power-${scope}`,
    describe: `the power of ${scope} fails: what was not synced is gone`,
    needs: ['disks', 'power'],
    lengthMs: scope === 'all' ? [500, 2_000] : [500, 6_000],
    begin: async ({ cluster, claim, release }, fault) => {
      const { wanted, count } = await choose(cluster, fault, scope);
      const slots = claim(wanted, count);
      const disks = slots.map((slot) => diskOf(cluster, slot));
      // The disks first, all at once: at that moment the members are still at work. One may notice before it is killed, and end.
      for (const slot of slots) cluster.member(slot).expectExit();
      await Promise.all(disks.map((disk) => disk.cutPower()));
      await Promise.all(slots.map((slot) => cluster.member(slot).kill()));
      const end = async (): Promise<void> => {
        await Promise.all(slots.map((slot) => bringBack(cluster, slot)));
        release(slots);
      };
      return { value: { members: slots }, disabled: slots, end };
    },
  };
}

async function bringBack(cluster: Cluster, slot: number): Promise<void> {
  const disk = diskOf(cluster, slot);
  await disk.unmount();
  await disk.mount();
  // As long as a machine takes to come up again, made short.
  await pause(100);
  cluster.member(slot).start();
}

export const DISKS: readonly Nemesis[] = [
  {
    name: 'disk-full',
    describe: 'the disk of one or a minority is full',
    needs: ['disks'],
    lengthMs: [4_000, 15_000],
    begin: fill,
  },
  SLOW,
  FSYNC,
  ...(['one', 'minority', 'majority', 'all', 'leader'] as const).map(powerNemesis),
];
