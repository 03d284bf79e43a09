/** U3: what Prometheus is told. */
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import type { CommandBody } from '../../src/machine/types.ts';
import { LABEL_VALUES_MAX, OTHER } from '../../src/metrics/labels.ts';
import type { MemberReading } from '../../src/metrics/member.ts';
import { Metrics } from '../../src/metrics/metrics.ts';
import type { MemberPort, MemberStatus } from '../../src/node/types.ts';
import { health } from '../../src/server/observed.ts';
import { logIndex } from '../../src/types/ids.ts';
import { FakeMember } from '../api/support.ts';
import { Bench, token } from '../machine/kit.ts';
import { readText } from '../tidy/files.ts';

const STREAM = 1 as Parameters<MemberPort['status']>[0];

/** Values of the series whose names begin with `name`, with their labels. */
async function series(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const lines = (await metrics.text()).split('\n').filter((line) => line.startsWith(name));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

class Scene {
  readonly bench = new Bench();
  readonly metrics = new Metrics('1.2.3', () => 0);
  readonly member = new FakeMember();
  status: Partial<MemberStatus> = {};
  nowMs: number | null = null;

  constructor() {
    this.metrics.begin(logIndex(0));
    this.metrics.attach(() => this.reading());
    this.apply({ kind: 'setFeatureLevel', level: 3, pinned: false });
  }

  reading(): MemberReading {
    return {
      status: { ...this.member.status(STREAM), ...this.status },
      view: this.bench.machine,
      io: { bytesProposed: 100, bytesWritten: 250, maxIoOverheadRatio: 2.5 },
      detector: { stalls: 2, agentsWatched: 7, nowMs: this.nowMs },
      process: { cpuSeconds: 1.5, residentBytes: 1e8, heapBytes: 5e7, startedAt: 1.7e9 },
    };
  }

  apply(body: CommandBody, ms = 0): void {
    this.bench.timeMs += ms;
    const applied = this.bench.apply(body, { traceId: 'trace' });
    expect(applied.result?.ok, JSON.stringify(applied.result)).toBe(true);
    this.metrics.applied(this.bench.machine.appliedIndex, this.bench.machine, applied);
  }

  /** A run of ANALYZE that is interrupted 90 s after its last sign of life. */
  interrupted(loop = 'loop'): { loop: string; g: number; phase: string } {
    const ref = { loop, g: 1, phase: 'ANALYZE' };
    this.apply({ kind: 'createLoop', loop, plan: '' });
    this.apply({ kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] });
    const faultAtMs = this.bench.timeMs as never;
    this.apply({ kind: 'interruptPhase', ref, attempt: 1, cause: 'OPERATOR', detail: '', faultAtMs }, 90_000);
    return ref;
  }

  lock(): number {
    const [row] = this.bench.machine.rows.recoveryLock.range('', '\u007f', 1);
    return row?.[1].token ?? 0;
  }
}

describe('U3: what the cluster did', () => {
  it('detection and each step of a recovery are measured, results are counted', async () => {
    const scene = new Scene();
    const ref = scene.interrupted();
    const of = (name: string): Promise<Record<string, number>> => series(scene.metrics, name);
    expect(await of('phase_detect_latency_seconds_sum')).toEqual({
      'phase_detect_latency_seconds_sum{phase="ANALYZE"}': 90,
    });
    scene.apply({
      kind: 'startRecovery',
      ref,
      token: token(scene.bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1].token ?? 0),
    });
    for (const step of ['wal_fsync', 'checkpoint_flush', 'vc_merge', 'sel_compensate', 'snapshot_apply'] as const) {
      const row = scene.bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1];
      if (row?.step !== step) continue;
      scene.apply({ kind: 'completeStep', ref, token: row.token, step, ok: step !== 'vc_merge', detail: '' }, 2_000);
    }
    const row = scene.bench.machine.rows.recovery.range('', '\u007f', 1)[0]?.[1];
    expect(row).toMatchObject({ state: 'CLEAN_EXIT', result: 'ROLLED_BACK' });
    const counts = await of('phase_recovery_latency_seconds_count');
    const sums = await of('phase_recovery_latency_seconds_sum');
    expect(Object.keys(counts).length).toBeGreaterThanOrEqual(4);
    expect(new Set(Object.values(counts))).toEqual(new Set([1]));
    expect(sums['phase_recovery_latency_seconds_sum{phase="ANALYZE",step="vc_merge"}']).toBe(2);
    expect(await of('phase_recoveries_total')).toEqual({ 'phase_recoveries_total{result="ROLLED_BACK"}': 1 });
    expect(scene.lock() % 2).toBe(0);
  });

  it('a restart counts nothing twice: entries that the log held are not counted (RM1)', async () => {
    const scene = new Scene();
    scene.interrupted();
    const again = new Metrics('1.2.3', () => 0);
    const held = scene.bench.log.length;
    again.begin(logIndex(held));
    const bench = new Bench();
    for (const { command } of scene.bench.log) {
      again.applied(logIndex(bench.machine.appliedIndex + 1), bench.machine, bench.entry(command));
    }
    expect(await series(again, 'phase_detect_latency_seconds_count')).toEqual({});
    expect(await series(again, 'quorate_events_total')).toEqual({});
    const before = await series(scene.metrics, 'quorate_commands_applied_total');
    expect(before).toEqual({ 'quorate_commands_applied_total{outcome="done"}': held });
  });

  it('labels that come from users are bounded', async () => {
    const scene = new Scene();
    const count = LABEL_VALUES_MAX + 20;
    for (let i = 0; i < count; i += 1) {
      const phases = [{ name: `P${i}`, priorMs: 1_000, slaMs: 0 }];
      scene.apply({ kind: 'registerPlan', plan: `p${i}`, phases });
      scene.apply({ kind: 'createLoop', loop: `l${i}`, plan: `p${i}` });
      const ref = { loop: `l${i}`, g: 1, phase: `P${i}` };
      scene.apply({ kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] });
      const faultAtMs = scene.bench.timeMs as never;
      scene.apply({ kind: 'interruptPhase', ref, attempt: 1, cause: 'OPERATOR', detail: '', faultAtMs });
    }
    const counts = await series(scene.metrics, 'phase_detect_latency_seconds_count');
    expect(Object.keys(counts)).toHaveLength(LABEL_VALUES_MAX + 1);
    expect(counts[`phase_detect_latency_seconds_count{phase="${OTHER}"}`]).toBe(20);
  });
});

describe('U3: the member', () => {
  it('shows what it is asked for, as it is then', async () => {
    const scene = new Scene();
    scene.status = { partitionMs: 46_500, alarms: ['PARTITIONED'] };
    expect(await series(scene.metrics, 'partition_duration_seconds')).toEqual({ partition_duration_seconds: 46.5 });
    const alarms = await series(scene.metrics, 'quorate_alarm');
    expect(Object.keys(alarms)).toHaveLength(8);
    expect(Object.entries(alarms).filter(([, on]) => on === 1)).toEqual([['quorate_alarm{alarm="PARTITIONED"}', 1]]);
    expect(await series(scene.metrics, 'max_io_overhead_ratio')).toEqual({ max_io_overhead_ratio: 2.5 });
    await scene.metrics.text();
    expect(await series(scene.metrics, 'quorate_written_bytes_total')).toEqual({ quorate_written_bytes_total: 250 });
    expect(await series(scene.metrics, 'quorate_raft_term')).toEqual({ quorate_raft_term: 5 });
  });

  it('shows the suspicion of running phases while it leads, and nothing of those that ended', async () => {
    const scene = new Scene();
    const ref = { loop: 'loop', g: 1, phase: 'ANALYZE' };
    scene.apply({ kind: 'createLoop', loop: 'loop', plan: '' });
    scene.apply({ kind: 'beginPhase', ref, supersedeAttempt: 0, vectorClock: [] });
    expect(await series(scene.metrics, 'quorate_phase_suspicion_phi')).toEqual({});
    scene.nowMs = scene.bench.timeMs + 15_000;
    const at = await series(scene.metrics, 'quorate_phase_suspicion_phi');
    expect(at['quorate_phase_suspicion_phi{phase="ANALYZE"}']).toBeCloseTo(Math.log10(2), 9);
    const fence = scene.bench.machine.run('loop', 1, 'ANALYZE')?.token ?? 0;
    scene.apply({ kind: 'commitPhase', ref, token: fence as never, result: '', vectorClock: [] });
    expect(await series(scene.metrics, 'quorate_phase_suspicion_phi')).toEqual({});
  });

  it('counts what clients asked of it, by what came of it', async () => {
    const scene = new Scene();
    const outcomes = [
      { kind: 'refused', reason: 'PARTITION_ERROR' },
      { kind: 'indeterminate', message: '' },
      { kind: 'applied' },
    ];
    const port = { mutate: () => Promise.resolve(outcomes.shift()) } as unknown as MemberPort;
    const measured = scene.metrics.measured(port);
    for (let i = 0; i < 3; i += 1) await measured.mutate(STREAM, {} as never, 1);
    expect(await series(scene.metrics, 'quorate_proposals_total')).toEqual({
      'quorate_proposals_total{outcome="partition_error"}': 1,
      'quorate_proposals_total{outcome="indeterminate"}': 1,
      'quorate_proposals_total{outcome="applied"}': 1,
    });
    expect(await series(scene.metrics, 'quorate_proposal_duration_seconds_count')).toEqual({
      quorate_proposal_duration_seconds_count: 1,
    });
  });

  it('counts fsyncs, images and changes of the leader', async () => {
    const { metrics } = new Scene();
    metrics.walEvent({ kind: 'synced', records: 1, bytes: 1, durationMs: 3 });
    for (const leader of ['a', 'a', null, 'a', 'b']) metrics.role(leader);
    metrics.notice({ kind: 'snapshotInstalled', index: logIndex(4) });
    const text = await metrics.text();
    expect(text).toContain('quorate_wal_fsync_duration_seconds_bucket{le="0.0025"} 0');
    expect(text).toContain('quorate_wal_fsync_duration_seconds_bucket{le="0.005"} 1');
    expect(text).toContain('quorate_raft_leader_changes_total 2');
    expect(text).toContain('quorate_snapshot_images_total{outcome="installed"} 1');
  });

  it('health is 503 with the reason while the member does not serve', () => {
    const { member } = new Scene();
    const status = member.status(STREAM);
    expect(health(status)).toEqual({ status: 200, body: 'ok\n' });
    expect(health({ ...status, alarms: ['PARTITIONED'] }).status).toBe(503);
    expect(health({ ...status, raft: { ...status.raft, leader: null } }).body).toBe('no leader is known here\n');
    expect(health({ ...status, fault: 'the disk broke' })).toEqual({ status: 503, body: 'the disk broke\n' });
    expect(health({ ...status, removed: true }).status).toBe(503);
  });
});

describe('the text format', () => {
  it('each metric is in docs/metrics.md, and none is there that is not', async () => {
    const text = await new Scene().metrics.text();
    const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
    const documented = [...readText('docs/metrics.md').matchAll(/^\| `([a-z_]+)/gm)].map(([, name]) => name);
    expect(documented.sort()).toEqual(names.sort());
  });

  it('is what promtool calls clean', async () => {
    const promtool = process.env.PROMTOOL ?? 'promtool';
    if (spawnSync(promtool, ['--version']).error !== undefined) {
      if (process.env.PROMTOOL_TESTS === 'required')
        throw new Error('promtool is not here: scripts/install-system-deps.sh');
      process.stderr.write('NOT RUN: promtool check metrics; it is in the Debian package prometheus\n');
      return;
    }
    const scene = new Scene();
    scene.interrupted();
    scene.nowMs = scene.bench.timeMs;
    scene.metrics.role('a');
    const checked = spawnSync(promtool, ['check', 'metrics'], { input: await scene.metrics.text(), encoding: 'utf8' });
    expect([checked.status, checked.stdout, checked.stderr]).toEqual([0, '', '']);
  });
});
