/** The project's own files as text, found without git so that an unpacked archive can be checked too. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface SourceFile {
  /** Relative to the project's folder, with `/` as separator. */
  readonly path: string;
  readonly text: string;
}

export const projectRoot = fileURLToPath(new URL('../../', import.meta.url));

const FOREIGN = new Set(['node_modules', 'dist', 'coverage', '.git', '.cache', 'quorate-data']);
const TEXT =
  /(?:\.(?:ts|mjs|json|md|proto|yaml|yml|py|sh|txt)|(?:^|\/)(?:Dockerfile|LICENSE|run|\.dockerignore|\.gitignore|\.npmrc))$/;

/** Every text file of the project, sorted by path; generated and installed ones are left out. */
export function readProject(): readonly SourceFile[] {
  const files: SourceFile[] = [];
  const visit = (folder: string): void => {
    for (const entry of readdirSync(join(projectRoot, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) {
        if (!FOREIGN.has(entry.name) && path !== 'src/gen') visit(path);
      } else if (entry.isFile() && TEXT.test(path) && path !== 'package-lock.json') {
        files.push({ path, text: readFileSync(join(projectRoot, path), 'utf8') });
      }
    }
  };
  visit('');
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The text of one file of the project. */
export function readText(path: string): string {
  return readFileSync(join(projectRoot, path), 'utf8');
}
