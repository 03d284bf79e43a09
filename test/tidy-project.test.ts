/** The files around the code: that they say the same as the code does. */
import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { ERRORS } from '../src/api/errors.ts';
import { SETTINGS } from '../src/server/config-settings.ts';
import { projectRoot, readProject, readText } from './tidy/files.ts';

interface Manifest {
  readonly license: string;
  readonly bin: Readonly<Record<string, string>>;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
  readonly files: readonly string[];
  readonly scripts: Readonly<Record<string, string>>;
}
const manifest = JSON.parse(readText('package.json')) as Manifest;
const readme = readText('README.md');

/** Cells of every table row whose first cell is code. */
function codeRows(markdown: string): readonly (readonly string[])[] {
  return markdown
    .split('\n')
    .filter((line) => /^\| `[^`]+` +\|/.test(line))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replace(/^`([^`]*)`$/, '$1')),
    );
}

describe('README.md', () => {
  it('begins with the two commands that a new user runs', () => {
    const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map((match) => match[1] ?? '');
    const commands = blocks
      .join('')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    expect(commands.slice(0, 2).map((line) => line.replace(/ +#.*$/, ''))).toEqual([
      'npm ci && npm run demo',
      'npm ci && npm test',
    ]);
  });

  it('lists every setting with its default', () => {
    const shown = (value: unknown): string => (value === undefined ? '–' : String(value));
    const rows = codeRows(readme).filter(([path]) => SETTINGS.some((setting) => setting.path === path));
    expect(rows.map(([path, value]) => `${path} ${value}`)).toEqual(
      SETTINGS.map((setting) => `${setting.path} ${shown(setting.defaultValue)}`),
    );
  });

  it('names only scripts that exist', () => {
    const named = new Set(
      [...(readme + readText('CONTRIBUTING.md')).matchAll(/npm run ([\w-]+)/g)].map((m) => m[1] ?? ''),
    );
    expect([...named].filter((name) => manifest.scripts[name] === undefined)).toEqual([]);
  });
});

describe('docs/errors.md', () => {
  it('has one row for each reason that can be given, with its gRPC status, and says what to do', () => {
    const given = Object.entries(ERRORS).map(([reason, { code }]) => `${reason} ${status[code]}`);
    expect(given.length).toBeGreaterThan(20);
    // These two are the client's own.
    const wanted = [...given, 'UNAVAILABLE –', 'UNKNOWN –'];
    const rows = codeRows(readText('docs/errors.md'));
    expect(rows.map(([reason, code]) => `${reason} ${code}`).sort()).toEqual(wanted.sort());
    expect(rows.filter((row) => row.length !== 4 || row.some((cell) => cell === ''))).toEqual([]);
  });
});

describe('package.json', () => {
  it('points to what the build makes of files that exist', () => {
    const built = [
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap((entry) =>
        typeof entry === 'string' ? [] : [entry.default, entry.types],
      ),
    ];
    expect(built.length).toBeGreaterThanOrEqual(5);
    for (const path of built) {
      const source = path.replace(/^(?:\.\/)?dist\//, 'src/').replace(/(?:\.d)?\.[jt]s$/, '.ts');
      expect(existsSync(join(projectRoot, source)), `${path} comes from ${source}`).toBe(true);
    }
    for (const path of manifest.files) {
      if (path !== 'dist') expect(existsSync(join(projectRoot, path)), path).toBe(true);
    }
  });

  it('names the licence that the file holds', () => {
    expect(manifest.license).toBe('Apache-2.0');
    expect(readText('LICENSE')).toContain('Version 2.0, January 2004');
  });
});

describe('CI and container', () => {
  it('runs the command of the README', () => {
    expect(readText('.ci/run').split('\n')).toContain('npm ci && npm test');
    for (const path of ['.ci/run', 'scripts/install-system-deps.sh']) {
      expect(statSync(join(projectRoot, path)).mode & 0o111, `${path} is executable`).not.toBe(0);
      expect(readText(path)).toContain('set -euo pipefail');
    }
  });

  const dockerfile = readText('Dockerfile');

  it('copies files into the image that exist and are not ignored', () => {
    const ignored = readText('.dockerignore').split('\n');
    const copies = [...dockerfile.matchAll(/^COPY (?!--from)(.+)$/gm)].flatMap((match) =>
      (match[1] ?? '').split(' ').slice(0, -1),
    );
    expect(copies.length).toBeGreaterThan(5);
    for (const path of copies) {
      expect(existsSync(join(projectRoot, path)), path).toBe(true);
      expect(ignored, '.dockerignore lets it through').toContain(`!${path}`);
    }
  });

  it('runs as somebody else than root, with a health check, and sets only settings that exist', () => {
    expect(dockerfile).toMatch(/^USER (?!0|root)\S+$/m);
    expect(dockerfile).toMatch(/^HEALTHCHECK /m);
    const variables = [...dockerfile.matchAll(/\b(QUORATE_\w+)=/g)].map((match) => match[1] ?? '');
    const known = new Set([...SETTINGS.map((setting) => setting.env), 'QUORATE_ENDPOINTS', 'QUORATE_CONFIG']);
    expect(variables.length).toBeGreaterThan(0);
    expect(variables.filter((name) => !known.has(name))).toEqual([]);
  });
});

describe('links in Markdown', () => {
  it('lead to files that exist', () => {
    const broken = readProject()
      .filter((file) => file.path.endsWith('.md'))
      .flatMap((file) =>
        [...file.text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
          .map((match) => match[1] ?? '')
          .filter((target) => !existsSync(join(projectRoot, dirname(file.path), target)))
          .map((target) => `${file.path}: ${target}`),
      );
    expect(broken).toEqual([]);
  });
});
