import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PhaseService } from '../../src/gen/quorate/v1/phase_pb.ts';
import { revision } from '../../src/types/ids.ts';
import { PAGE_BYTES_MAX } from '../../src/types/limits.ts';
import { type FakeMember, loopRow, runRow, TestApi } from './support.ts';

const phase = PhaseService.method;
const ref = { loop: 'l', g: 3n, phase: 'p' };
let api: TestApi;
let member: FakeMember;

beforeEach(async () => {
  api = await new TestApi().start();
  member = api.member;
});

afterEach(() => api.stop());

describe('pages', () => {
  const names = Array.from({ length: 25 }, (_, i) => `loop-${String(i).padStart(2, '0')}`);

  it('follow one another without gap or repeat', async () => {
    member.view.loopRows = names.map((name) => loopRow(name));
    const seen: string[] = [];
    const sizes: number[] = [];
    let pageToken = '';
    do {
      const answer = await api.call(phase.listLoops, { pageSize: 10, pageToken });
      if (!answer.ok) throw new Error(answer.error.message);
      seen.push(...answer.value.loops.map((loop) => loop.name));
      sizes.push(answer.value.loops.length);
      pageToken = answer.value.nextPageToken;
      // Opaque: says nothing of the key.
      expect(pageToken).not.toContain('loop');
    } while (pageToken !== '');
    expect(seen).toEqual(names);
    expect(sizes).toEqual([10, 10, 5]);
  });

  it('hold 100 rows unless told', async () => {
    member.view.planRows = Array.from({ length: 150 }, (_, i) => ({
      plan: `plan-${1000 + i}`,
      phases: [],
      createdRevision: revision(1),
    }));
    const answer = await api.call(phase.listPlans, {});
    expect(answer.ok && answer.value.plans).toHaveLength(100);
    const rest = await api.call(phase.listPlans, { pageToken: answer.ok ? answer.value.nextPageToken : '' });
    expect(rest.ok && rest.value).toMatchObject({ nextPageToken: '' });
    expect(rest.ok && rest.value.plans).toHaveLength(50);
  });

  it('end early rather than grow beyond a message, and go on where they ended', async () => {
    member.view.loopRows = [loopRow('l')];
    member.view.runRows = [runRow('l', 3, 'p')];
    const result = 'x'.repeat(16_000);
    const ids = Array.from({ length: 200 }, (_, i) => `dir/→${String(i).padStart(3, '0')}`);
    member.view.subStepRows = ids.map((id) => ({ id, result, attempt: 1, recordedRevision: revision(1) }));
    const seen: string[] = [];
    let pages = 0;
    let pageToken = '';
    do {
      const answer = await api.call(phase.listSubSteps, { ref, pageSize: 1000, pageToken });
      if (!answer.ok) throw new Error(answer.error.message);
      const { subSteps } = answer.value;
      expect(subSteps.length * result.length).toBeLessThan(PAGE_BYTES_MAX);
      seen.push(...subSteps.map((step) => step.id));
      pageToken = answer.value.nextPageToken;
      pages += 1;
    } while (pageToken !== '');
    expect(seen).toEqual(ids);
    expect(pages).toBe(4);
  });
});
