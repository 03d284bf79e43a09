/** Persistence steps: every moment at which a power cut can leave another disk behind. */

/** What the step belongs to. */
export type StepKind = 'disk' | 'store';

/** Carries out `effect`, which changes the disk; whoever counts the steps may cut the power before or after it. */
export type Step = <T>(kind: StepKind, detail: string, effect: () => T) => T;

export class PowerCut extends Error {
  override readonly name = 'PowerCut';
}
