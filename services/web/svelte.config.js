/** @type {import('@sveltejs/vite-plugin-svelte').SvelteConfig} */
export default {
  compilerOptions: {
    runes: true,
    // Roles of tables are written out where a phone's layout turns rows into blocks, which takes them away.
    warningFilter: (warning) => warning.code !== 'a11y_no_redundant_roles',
  },
};
