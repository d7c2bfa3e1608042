import { readFileSync } from 'node:fs';

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

/** Whose work is in the pages besides ours, and under which terms: served beside them. */
const LICENCES = [
  ['Svelte (https://svelte.dev)', 'node_modules/svelte/LICENSE.md'],
  ['uPlot (https://github.com/leeoniya/uPlot)', 'node_modules/uplot/LICENSE'],
  ['Lucide (https://lucide.dev)', 'src/assets/lucide-LICENSE.txt'],
  ['Vazirmatn (https://github.com/rastikerdar/vazirmatn)', 'src/assets/vazirmatn-OFL.txt'],
] as const;

function licences(): Plugin {
  return {
    name: 'licences',
    generateBundle() {
      const texts = LICENCES.map(([what, file]) => `${what}\n\n${readFileSync(file, 'utf-8').trim()}\n`);
      this.emitFile({ type: 'asset', fileName: 'pages/licences.txt', source: texts.join('\n----\n\n') });
    },
  };
}

export default defineConfig({
  // Addresses in the pages are relative, so that the whole may stand behind a proxy under any path.
  base: './',
  plugins: [svelte(), licences()],
  build: {
    assetsDir: 'pages',
    assetsInlineLimit: 0, // a picture in a data: address is refused by the content security policy
    target: 'es2023',
    reportCompressedSize: false,
    rolldownOptions: { checks: { pluginTimings: false } },
  },
});
