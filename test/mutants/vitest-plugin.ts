/** For `npm run mutants`: with QUORATE_MUTANT set, tests run against the product broken on purpose. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Mutant } from './mutant.ts';

const CATALOGUE = fileURLToPath(new URL('catalogue.json', import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));

interface TransformPlugin {
  readonly name: string;
  readonly enforce: 'pre';
  transform(code: string, id: string): string | null;
}

/** No plugin without the variable. Throws for a mutant that is not there, or no longer matches. */
export function mutantPlugins(env: Readonly<Record<string, string | undefined>>): TransformPlugin[] {
  const id = env.QUORATE_MUTANT;
  if (id === undefined) return [];
  const catalogue = JSON.parse(readFileSync(env.QUORATE_MUTANTS_FILE ?? CATALOGUE, 'utf8')) as readonly Mutant[];
  const mutant = catalogue.find((candidate) => candidate.id === id);
  if (mutant === undefined) throw new Error(`no mutant ${id}`);
  const edits = [mutant, ...(mutant.also ?? [])];
  const transform = (code: string, path: string): string | null => {
    const mine = edits.filter(({ file }) => path === `${ROOT}${file}`);
    if (mine.length === 0) return null;
    return mine.reduce((text, { find, replace }) => {
      const parts = text.split(find);
      if (parts.length !== 2) throw new Error(`mutant ${id} matches ${parts.length - 1} times, not once: ${find}`);
      return parts.join(replace);
    }, code);
  };
  return [{ name: 'quorate-mutant', enforce: 'pre', transform }];
}
