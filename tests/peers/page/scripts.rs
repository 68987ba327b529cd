//! What is looked for inside of the page, by scripts of the browser's.

/// The rows on the top level, in the order in which they stand.
pub(super) const NAMES: &str = "[...document.querySelectorAll('#list > li > details .name')]\
                     .map(name => name.textContent).join()";

/// In-page: every text whose contrast to what is behind it is below that of WCAG 2.1 AA (1.4.3).
pub(super) const FAINT: &str = r"(() => {
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const parts = colour => colour.match(/[\d.]+/g).map(Number);
    const behind = node => {
        for (; node; node = node.parentElement) {
            const colour = parts(getComputedStyle(node).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    const faint = new Set();
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const node = walk.currentNode.parentElement;
        if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
        if (['SCRIPT', 'NOSCRIPT', 'TITLE'].includes(node.tagName.toUpperCase())) continue;
        const [a, b] = [parts(getComputedStyle(node).color), behind(node)].map(light);
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) faint.add(contrast.toFixed(2) + ': ' + walk.currentNode.data);
    }
    return [...faint].join('; ');
})()";

/// In-page: what reaches beyond the right edge of the window.
pub(super) const BEYOND: &str = r"(() => {
    const wide = [...document.querySelectorAll('body *')].filter(node => node.checkVisibility()
        && !node.closest('.sr, .skip, svg, .about *')
        && node.getBoundingClientRect().right > innerWidth + 1);
    return [document.documentElement.scrollWidth > innerWidth ? 'scrolls' : '',
        ...wide.map(node => node.outerHTML.slice(0, 80))].join('');
})()";
