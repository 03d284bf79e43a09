/**
 * What the recovery demo proves at its end. The provider's own record says what happened in the outside world, the ledger
 * what the cluster knows of it: two sources that do not ask each other.
 */
import type { PhaseRef, QuorateClient } from '../client/client.ts';
import type { Provider, ProviderCall } from './provider.ts';
import { CREATED, DOCUMENTS_BEFORE, DOCUMENTS_OUTSIDE, documentOf, inventoryOf, THINGS } from './provision.ts';

/** An effect of the phase, and what became of it. */
export interface EffectLine {
  readonly attempt: number;
  readonly seq: number;
  readonly thing: string;
  readonly key: string;
  /** As the ledger has it. */
  readonly state: string;
  /** Who asked that it be undone: fencing tokens of the recovery in the order of the calls, and what the provider said. */
  readonly asked: readonly { readonly token: number; readonly outcome: ProviderCall['outcome'] }[];
  /** How often it had effect, in the provider's record. */
  readonly made: number;
  readonly unmade: number;
}

/** All effects of a run, oldest first. */
export async function effectLines(
  client: QuorateClient,
  ref: PhaseRef,
  calls: readonly ProviderCall[],
): Promise<readonly EffectLine[]> {
  const lines: EffectLine[] = [];
  for await (const { attempt, seq, key, description: thing, state } of client.ledger.list(ref)) {
    const mine = calls.filter((call) => call.key === key);
    const count = (kind: ProviderCall['kind']): number =>
      mine.filter((call) => call.kind === kind && call.outcome === 'done').length;
    const asked = mine.filter(({ kind }) => kind === 'unmake').map(({ token, outcome }) => ({ token, outcome }));
    lines.push({ attempt, seq, thing, key, state, asked, made: count('make'), unmade: count('unmake') });
  }
  return lines;
}

/** Effects that happened more than once, either way. */
export function ranTwice(lines: readonly EffectLine[]): readonly EffectLine[] {
  return lines.filter(({ made, unmade }) => made > 1 || unmade > 1);
}

/** What is wrong with the effects of a run whose first attempt was undone and whose second one was completed. */
export function effectProblems(lines: readonly EffectLine[], provider: Pick<Provider, 'calls' | 'things'>): string[] {
  const problems: string[] = [];
  for (const { attempt, thing, state, made, unmade } of lines) {
    const wanted = attempt === 1 ? 'COMPENSATED' : 'CONFIRMED';
    const undone = attempt === 1 ? 1 : 0;
    if (state !== wanted || made !== 1 || unmade !== undone) {
      problems.push(`${thing} of attempt ${attempt}: ${state}, made ${made} times and unmade ${unmade} times`);
    }
  }
  const known = new Set(lines.map(({ key }) => key));
  const strange = provider.calls.find(({ key }) => !known.has(key));
  if (strange !== undefined) problems.push(`the provider was asked for ${strange.key}, which is not in the ledger`);
  const unmade = provider.calls.filter(({ kind, outcome }) => kind === 'unmake' && outcome === 'done');
  const compensated = lines.filter(({ state }) => state === 'COMPENSATED').map(({ key }) => key);
  if (JSON.stringify(unmade.map(({ key }) => key)) !== JSON.stringify(compensated.reverse())) {
    problems.push(`unmade were ${unmade.map(({ key }) => key).join(', ')}: not the newest first`);
  }
  if (new Set(unmade.map(({ token }) => token)).size < 2) {
    problems.push('one recovery token undid everything, although the leader was killed half way');
  }
  if (inventoryOf(provider.things) !== inventoryOf([...THINGS].sort())) {
    problems.push(`there are ${inventoryOf(provider.things)}, and not just the eight things`);
  }
  return problems;
}

/** What is wrong with the documents after the rollback: as at BEGIN_PHASE, but for what somebody else wrote. */
export async function documentProblems(client: QuorateClient, loop: string): Promise<string[]> {
  const wanted: Readonly<Record<string, string | null>> = {
    ...DOCUMENTS_BEFORE,
    [CREATED]: null,
    ...DOCUMENTS_OUTSIDE,
  };
  const problems: string[] = [];
  for (const [name, content] of Object.entries(wanted)) {
    const held = (await documentOf(client, loop, name))?.content ?? null;
    if (held !== content)
      problems.push(`after the rollback ${name} is ${JSON.stringify(held)}, not ${JSON.stringify(content)}`);
  }
  return problems;
}
