/**
 * DR, documents (P7, V3): when a run is rolled back, each document that it has written is as at the begin of the run, or as somebody
 * outside of it has written it since, or the rollback of another run has left it: one that failed for good holds up nobody, and a supervisor may
 * have it rolled back when the next one has begun (V6). The oracle keeps the versions itself, from the commands and what they left.
 *
 * Documents that other runs have written meanwhile are left out: what they are to be depends on what becomes of those.
 */
import type { MachineEvent } from '../../../src/machine/types.ts';
import { type Committed, type Historian, runName } from './history.ts';
import type { Scene } from './oracle.ts';

interface Version {
  readonly revision: number;
  /** A run; '' for outside of any. */
  readonly writer: string;
  /** It was rolled back by that run, which wrote something before. */
  readonly restored: boolean;
  /** null: deleted. */
  readonly content: string | null;
}

export class DocumentRollback implements Historian {
  readonly id = 'DR';
  /** Documents that were compared. */
  checked = 0;
  readonly #scene: Scene;
  /** By loop, then by name; oldest first. */
  readonly #versions = new Map<string, Map<string, Version[]>>();
  /** Revision at which each run began that may be rolled back. */
  readonly #begun = new Map<string, number>();

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  committed({ index, command, events, view }: Committed): void {
    for (const event of events) {
      if (event.kind === 'document.changed') {
        const [verb = '', name = ''] = event.outcome.split(' ');
        const row = view.rows.document.get(`${event.loop} ${name}`);
        const content = row === null || row.deleted ? null : row.content;
        this.#of(event.loop, name).push({
          revision: index,
          writer: writerOf(command),
          restored: verb === 'RESTORED',
          content,
        });
      } else if (event.kind === 'phase_transition.started') {
        if (!this.#begun.has(runName(event))) this.#begun.set(runName(event), event.revision);
      } else if (event.kind === 'phase_transition.finished') {
        if (event.outcome === 'CLEAN_EXIT' || event.outcome === 'HARD_FAILED') this.#begun.delete(runName(event));
      } else if (event.kind === 'phase_recovery.finished' && event.outcome.includes('>CLEAN_EXIT')) {
        if (event.outcome.startsWith('ROLLBACK')) this.#rolledBack(event);
        this.#begun.delete(runName(event));
      }
    }
  }

  #of(loop: string, name: string): Version[] {
    const names = this.#versions.get(loop) ?? new Map<string, Version[]>();
    this.#versions.set(loop, names);
    const versions = names.get(name) ?? [];
    names.set(name, versions);
    return versions;
  }

  #rolledBack(event: MachineEvent): void {
    const run = runName(event);
    const begun = this.#begun.get(run);
    if (begun === undefined) return;
    for (const [name, versions] of this.#versions.get(event.loop) ?? []) {
      const since = versions.filter(({ revision }) => revision > begun);
      const own = since.some(({ writer, restored }) => writer === run && !restored);
      const others = since.some(({ writer, restored }) => writer !== '' && writer !== run && !restored);
      if (!own || others) continue;
      const outside = since.findLast(({ writer, restored }) => writer === '' || (restored && writer !== run));
      const wanted = outside ?? versions.findLast(({ revision }) => revision <= begun);
      const found = versions.at(-1)?.content ?? null;
      this.checked += 1;
      if (found === (wanted?.content ?? null)) continue;
      const text = `${run} is rolled back at revision ${event.revision}, and document ${name} is ${found}`;
      this.#scene.violate('DR', `${text}, not ${wanted?.content ?? null}`);
    }
  }
}

function writerOf(command: Committed['command']): string {
  const body = command?.body;
  if (body?.kind === 'completeStep') return runName(body.ref);
  if (body?.kind !== 'putDocument' && body?.kind !== 'deleteDocument') return '';
  return body.ref === null ? '' : runName(body.ref);
}
